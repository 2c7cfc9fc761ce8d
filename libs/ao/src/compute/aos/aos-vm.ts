/**
 * The aos virtual machine: WebAssembly modules for emscripten's runtime, as AO's own compute units run them, but counted in their own code,
 * kept hot instead of copied in and out for each message, and without anything of the world.
 */
import type {
  EvaluationResult,
  MemoryImage,
  OutboundMessage,
  ProcessEnv,
  Vm,
  VmInstance,
  VmMessage,
} from '../../types.js';
import { excessOf, failed, TOO_LARGE } from '../bounds.js';
import type { KeptMemory } from '../image.js';
import { ReplayedProcess, type MemoryMachine } from '../replayed-process.js';
import { BAD_RESULT, ProcessError } from '../traps.js';
import { AosMachine, WORK_LIMIT } from './machine.js';

/** Most memory one process may have, whatever its module says. */
export const MAX_MEMORY_BYTES = 512 * 1024 * 1024;

export class AosVm implements Vm {
  readonly formats = [
    'wasm32-unknown-emscripten4',
    'wasm32-unknown-emscripten-metering',
    'wasm64-unknown-emscripten-draft_2024_02_15',
    'wasm64-unknown-emscripten-draft_2024_10_16-metering',
  ];

  readonly yields = true;

  /** @param workLimit steps one message may take: the same in every copy of a process */
  constructor(private readonly workLimit = WORK_LIMIT) {}

  /** @throws ModuleRefused; WebAssembly.CompileError when the module is no WebAssembly of this format */
  load(
    module: Uint8Array,
    format: string,
    env: ProcessEnv,
    image: MemoryImage | null,
    inHurry = false,
  ): Promise<VmInstance> {
    const options = {
      wide: format.startsWith('wasm64'),
      maxMemoryBytes: Math.min(MAX_MEMORY_BYTES, memoryLimit(env)),
      workLimit: this.workLimit,
    };
    const environment = JSON.stringify(env);
    const fresh = (hurried = false): MemoryMachine =>
      new AosProgram(new AosMachine(module, options, hurried), environment);
    return Promise.resolve(new ReplayedProcess(fresh, fresh(inHurry), image));
  }
}

const UNITS: Readonly<Record<string, number>> = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 };

/** What the module's tag Memory-Limit allows (`500-mb`); without one, or with one nobody understands, no less than anybody may have. */
export function memoryLimit({ Module }: ProcessEnv): number {
  const tag = Module.Tags.find(({ name }) => name === 'Memory-Limit')?.value ?? '';
  const [, count, unit] = /^(\d{1,9})-(b|kb|mb|gb)$/.exec(tag) ?? [];
  return count ? Number(count) * (UNITS[unit ?? ''] ?? 0) : Infinity;
}

/** A machine that speaks AO's JSON interface. */
class AosProgram implements MemoryMachine {
  constructor(
    private readonly machine: AosMachine,
    private readonly environment: string,
  ) {}

  get memory(): Uint8Array {
    return this.machine.memory;
  }

  get workDone(): number {
    return this.machine.workDone;
  }

  restore(kept: KeptMemory): void {
    this.machine.restore(kept);
  }

  evaluate(message: VmMessage, inHurry: boolean): EvaluationResult {
    return readResult(parse(this.machine.answer(message, this.environment, inHurry)));
  }
}

interface Answer {
  ok?: unknown;
  response?: unknown;
}

/** Objects, lists and their members in one answer: as many as a largest result can have with shortest tags, and as deep as any text needs. */
const MAX_VALUES = 2_000_000;
const MAX_DEPTH = 64;

/** An answer as JSON. Seen before it is parsed: what is small as a text may be large, or too deep, as objects. @throws ProcessError */
function parse(text: string): Answer {
  let [values, depth, inText] = [0, 0, false];
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (inText) {
      if (code === 0x5c) i += 1;
      else if (code === 0x22) inText = false;
    } else if (code === 0x22) inText = true;
    else if (code === 0x2c) values += 1;
    else if (code === 0x5b || code === 0x7b) {
      values += 1;
      depth += 1;
    } else if (code === 0x5d || code === 0x7d) depth -= 1;
    if (values > MAX_VALUES || depth > MAX_DEPTH) throw new ProcessError(TOO_LARGE);
  }
  const answer = jsonOf(text);
  return typeof answer === 'object' && answer !== null ? answer : {};
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (error instanceof Error && error.name === 'SyntaxError') throw new ProcessError(BAD_RESULT);
    throw error;
  }
}

function readResult({ ok, response }: Answer): EvaluationResult {
  if (!ok) return failed(describe(response));
  const raw = (typeof response === 'object' && response !== null ? response : {}) as Record<string, unknown>;
  if (raw['Error']) return failed(describe(raw['Error']));
  const result: EvaluationResult = {
    Messages: listOf(raw['Messages']).map(readMessage),
    Spawns: listOf(raw['Spawns']).map(readMessage),
    Assignments: listOf(raw['Assignments']),
    Output: raw['Output'] ?? '',
  };
  const excess = excessOf(result);
  return excess === null ? result : failed(excess);
}

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

/** Processes put numbers and tables where texts belong; items carry texts only. */
function readMessage(value: unknown): OutboundMessage {
  const { Target, Anchor, Data, Tags } = (value ?? {}) as Record<string, unknown>;
  const target = describe(Target);
  return {
    ...(target ? { Target: target } : {}),
    Anchor: describe(Anchor),
    Data: describe(Data),
    Tags: listOf(Tags).map((tag) => {
      const { name, value: content } = (tag ?? {}) as Record<string, unknown>;
      return { name: describe(name), value: describe(content) };
    }),
  };
}

function describe(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
