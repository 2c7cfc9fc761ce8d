/** `isthmus ao eval`, `message` and `read`: what is said to a process, and what it answers. */
import { tagList, type EvaluationResult, type OutboundMessage, type Tag } from '@isthmus/ao';
import { CommandError } from '../said.js';
import type { AoClient } from './client.js';
import type { MessageOptions, Signed } from './options.js';
import { clientOf, dataOf, outputOf, print, PROCESS_FAILED, signerFor, signItem } from './context.js';
import { brief, plain, plural } from './text.js';

/** Most outgoing messages printed of one answer, which may have a thousand. */
const MAX_SHOWN = 20;
const PROTOCOL = { 'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Message' };

/** @throws CommandError when nothing was evaluated; with `PROCESS_FAILED` when the code failed */
export async function evaluate(process: string, lua: string, options: Signed): Promise<void> {
  const client = clientOf(options);
  await assertAos(client, process);
  const { id, result } = await send(client, process, tagList({ Action: 'Eval' }), Buffer.from(lua), options);
  if (result.Error === undefined && !isEvaluation(result))
    throw new CommandError(
      `Nothing was evaluated: process ${process} evaluates only for its owner. The message stays, see "isthmus ao journey ${id}".`,
    );
  print(options.json, { message: id, ...answerView(result) }, () => plain(outputOf(result)));
  refuse(result);
}

/** @throws CommandError for a process whose machine is not that of aos: it would take the code for a message like any other */
async function assertAos(client: AoClient, process: string): Promise<void> {
  const { vm } = await client.get<{ vm: string }>(`/v1/ao/processes/${process}`);
  if (!vm.startsWith('wasm'))
    throw new CommandError(`Process ${process} runs on ${plain(vm)}: only an aos process evaluates. Nothing was sent.`);
}

/** How aos tells of a message that it keeps in its Inbox, as it does with code that is not its owner's. */
const KEPT = /^New Message From \S+: Action = Eval$/m;

/** aos answers an evaluation with an object that has what the code gave in `data`. */
function isEvaluation(result: EvaluationResult): boolean {
  const { Output } = result;
  return typeof Output === 'object' && Output !== null && 'data' in Output && !KEPT.test(plain(outputOf(result)));
}

/** @throws CommandError; with `PROCESS_FAILED` when the message failed */
export async function message(process: string, options: MessageOptions): Promise<void> {
  const client = clientOf(options);
  const { id, result } = await send(client, process, writtenTags(options), dataOf(options), options);
  print(options.json, { message: id, ...answerView(result) }, () =>
    [`message ${id}`, ...answerLines(result)].join('\n'),
  );
  refuse(result);
}

/** @throws CommandError; with `PROCESS_FAILED` when the read failed */
export async function read(process: string, options: MessageOptions & { owner?: string }): Promise<void> {
  const body = {
    Owner: options.owner ?? '0',
    Data: dataOf(options).toString('utf8'),
    Tags: [...tagList(PROTOCOL), ...writtenTags(options)],
  };
  const result = await clientOf(options).dryRun(process, body);
  print(options.json, answerView(result), () => answerLines(result).join('\n') || '(no answer)');
  refuse(result);
}

async function send(
  client: AoClient,
  process: string,
  own: Tag[],
  data: Buffer,
  options: Signed,
): Promise<{ id: string; result: EvaluationResult }> {
  const item = await signItem(
    { target: process, tags: [...tagList(PROTOCOL), ...own], data },
    signerFor(client, options),
  );
  await client.send(item.raw);
  return { id: item.id, result: await client.result(process, item.id, options.wait) };
}

function writtenTags({ action, tag }: MessageOptions): Tag[] {
  return [...(action === undefined ? [] : tagList({ Action: action })), ...tag];
}

function answerView({ Messages, Spawns, Assignments, Output, Error: error }: EvaluationResult) {
  return { messages: Messages, spawns: Spawns, assignments: Assignments, output: Output, error: error ?? null };
}

function answerLines(result: EvaluationResult): string[] {
  const output = plain(outputOf(result));
  return [
    ...result.Messages.slice(0, MAX_SHOWN).flatMap(messageLines),
    ...(result.Messages.length > MAX_SHOWN
      ? [`… and ${plural(result.Messages.length - MAX_SHOWN, 'more message')}: --json shows all`]
      : []),
    ...(result.Spawns.length > 0 ? [plural(result.Spawns.length, 'spawn')] : []),
    ...(result.Assignments.length > 0 ? [plural(result.Assignments.length, 'assignment')] : []),
    ...(output ? [`output ${output}`] : []),
  ];
}

function messageLines({ Target, Tags, Data }: OutboundMessage): string[] {
  const tags = Tags.map(({ name, value }) => `${plain(name)}=${brief(value, 80)}`).join('  ');
  return [`→ ${Target ? plain(Target) : '(nobody)'}  ${tags}`.trimEnd(), ...(Data ? [`  ${plain(Data)}`] : [])];
}

function refuse({ Error: error }: EvaluationResult): void {
  if (error !== undefined) throw new CommandError(`The process failed: ${brief(error, 500)}`, PROCESS_FAILED);
}
