/**
 * What a JavaScript process finds around it: its message as an object, `ao`, and nothing of the world. What is written here keeps to
 * operators (a template would call String.prototype.concat here), own properties and the intrinsics it took before the module ran, so that nothing the module redefines reaches it.
 */
import { MAX_SENT } from '../bounds.js';

/** A script whose value is the one way in: a function of a text. First the environment; then a message each time, and '' for its result. */
export const PRELUDE = `
(() => {
  'use strict';
  const { parse, stringify } = JSON;
  const { keys, freeze, defineProperty } = Object;
  const { isArray, prototype: { sort } } = Array;
  const { apply } = Reflect;
  const { padStart, indexOf, slice } = String.prototype;
  const { then } = Promise.prototype;
  const { TypeError } = globalThis;

  // Chance is not what it seems where everybody computes the same: it is not there at all.
  delete Math.random;

  const FIELDS = { __proto__: null, Target: true, Data: true, Anchor: true, Tags: true };
  let messages = '', spawns = '', assignments = '';
  let sent = 0, spawned = 0, assigned = 0;
  let reference = 0;
  let answer = '';

  const text = (value, what) => {
    const type = typeof value;
    if (type === 'string') return value;
    if (type === 'number' || type === 'bigint' || type === 'boolean') return '' + value;
    throw new TypeError(what + ' must be a text, a number or a bigint.');
  };
  // Objects in tags are JSON: what a process says of its public state.
  const tagText = (value) => {
    const json = typeof value === 'object' && value !== null ? stringify(value) : undefined;
    return typeof json === 'string' ? json : text(value, 'A tag');
  };
  const tag = (name, value) => '{"name":' + stringify(name) + ',"value":' + stringify(tagText(value)) + '}';

  // Tags as a list keep their order; tags as an object are sorted by name, so that one message has one form.
  const tagList = (message, fields) => {
    const tags = message.Tags;
    const named = { __proto__: null };
    let list = '';
    if (isArray(tags)) {
      for (let i = 0; i < tags.length; i += 1) {
        const { name, value } = tags[i];
        list += (list && ',') + tag(text(name, 'The name of a tag'), value);
      }
    } else if (tags !== undefined && tags !== null) {
      const names = keys(tags);
      for (let i = 0; i < names.length; i += 1) named[names[i]] = tags[names[i]];
    }
    const names = keys(message);
    for (let i = 0; i < names.length; i += 1) if (!fields[names[i]]) named[names[i]] = message[names[i]];
    const sorted = apply(sort, keys(named), []);
    for (let i = 0; i < sorted.length; i += 1) {
      const value = named[sorted[i]];
      if (value !== undefined) list += (list && ',') + tag(sorted[i], value);
    }
    return list;
  };

  const outbound = (message, what) => {
    if (typeof message !== 'object' || message === null) throw new TypeError(what + ' takes an object.');
    const { Target, Data, Anchor } = message;
    reference += 1;
    const anchor = Anchor === undefined ? apply(padStart, '' + reference, [32, '0']) : text(Anchor, 'Anchor');
    const target = Target === undefined ? '' : text(Target, 'Target');
    const data = Data === undefined ? '' : text(Data, 'Data');
    return (tags) => '{"Target":' + stringify(target) + ',"Anchor":' + stringify(anchor) + ',"Data":' + stringify(data) + ',"Tags":[' + tags + ']}';
  };

  const send = (message) => {
    const written = outbound(message, 'ao.send');
    const item = written(tagList(message, FIELDS));
    sent += 1;
    if (sent <= ${MAX_SENT} + 1) messages += (messages && ',') + item;
  };

  const spawn = (module, message = {}) => {
    const written = outbound(message, 'ao.spawn');
    const tags = tagList(message, FIELDS);
    const item = written(tag('Module', text(module, 'The module')) + (tags && ',') + tags);
    spawned += 1;
    if (spawned <= ${MAX_SENT} + 1) spawns += (spawns && ',') + item;
  };

  const assign = (assignment) => {
    if (typeof assignment !== 'object' || assignment === null || !isArray(assignment.Processes))
      throw new TypeError('ao.assign takes { Processes: [ids], Message: id }.');
    const { Processes, Message } = assignment;
    let processes = '';
    for (let i = 0; i < Processes.length; i += 1)
      processes += (processes && ',') + stringify(text(Processes[i], 'A process'));
    const item = '{"Processes":[' + processes + '],"Message":' + stringify(text(Message, 'Message')) + '}';
    assigned += 1;
    if (assigned <= ${MAX_SENT} + 1) assignments += (assignments && ',') + item;
  };

  // The first of a name counts. No tag's name can be one that objects have of themselves.
  const byName = (tags) => {
    const map = { __proto__: null };
    for (let i = 0; i < tags.length; i += 1) if (!(tags[i].name in map)) map[tags[i].name] = tags[i].value;
    return map;
  };

  const environment = (written) => {
    const { Process, Module } = parse(written);
    const authorities = { __proto__: null };
    for (let i = 0; i < Process.Tags.length; i += 1) {
      freeze(Process.Tags[i]);
      if (Process.Tags[i].name === 'Authority') authorities[Process.Tags[i].value] = true;
    }
    const env = freeze({
      Process: freeze({ Id: Process.Id, Owner: Process.Owner, Tags: freeze(byName(Process.Tags)), TagArray: freeze(Process.Tags) }),
      Module: freeze({ Id: Module.Id, Owner: Module.Owner }),
    });
    const isTrusted = (msg) => msg.From === msg.Owner || authorities[msg.Owner] === true;
    const value = freeze({ __proto__: null, id: Process.Id, env, send, spawn, assign, isTrusted });
    defineProperty(globalThis, 'ao', { __proto__: null, value, enumerable: true, configurable: true });
  };

  const failure = (error) => {
    let reason = 'The process failed without saying why.';
    try {
      reason = '' + error;
      const { stack } = error;
      if (typeof stack === 'string') reason += apply(slice, stack, [0, apply(indexOf, stack, ['\\n'])]);
    } catch {} // what was thrown has no text: what is known so far is told
    return '{"Error":' + stringify(reason) + '}';
  };

  const success = (output) =>
    '{"Output":' + stringify(typeof output === 'string' ? output : '') + ',"Messages":[' + messages + '],"Spawns":[' + spawns + '],"Assignments":[' + assignments + ']}';

  const begin = (written) => {
    const m = parse(written);
    messages = spawns = assignments = '';
    sent = spawned = assigned = 0;
    answer = '{"Error":"handle gave a promise that nothing ever keeps."}';
    let output;
    try {
      if (typeof handle !== 'function') throw new TypeError('The module defines no function handle(msg).');
      output = handle({ ...m, Tags: byName(m.Tags), TagArray: m.Tags });
    } catch (error) {
      answer = failure(error);
      return;
    }
    if (typeof output !== 'object') {
      answer = success(output);
      return;
    }
    try {
      apply(then, output, [(kept) => { answer = success(kept); }, (error) => { answer = failure(error); }]);
    } catch {
      answer = success(output); // no promise
    }
  };

  let entered = false;
  return (written) => {
    if (written === '') return answer;
    if (entered) begin(written);
    else environment(written);
    entered = true;
    return '';
  };
})()`;

/** Run between the environment and the module: as a constant of all scripts, ao is nothing that a module can redefine as a property of the global object. */
export const AO = 'const ao = globalThis.ao;';
