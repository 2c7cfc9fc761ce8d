/** What names a network of AO units in a configuration: where they are. */
import { z } from 'zod';

/** Base URL of a unit, without a slash at its end. */
export const unitUrl = z
  .url({ protocol: /^https?$/, error: 'write a http or https URL' })
  .transform((url) => url.replace(/\/+$/, ''));

/** Keys of a configuration that say where a network is. */
export const networkShape = {
  /** Scheduler unit: whose schedule is read. */
  schedulerUrl: unitUrl,
  /** Messenger unit: to which signed items go. */
  messengerUrl: unitUrl,
  /** Arweave gateway: /graphql and /raw of modules, processes and messages. */
  gatewayUrl: unitUrl,
};
/** Keys that say where a node of AO-Core is. */
export const coreShape = {
  /** A node: schedules, messages and results under /<process>~process@1.0. */
  nodeUrl: unitUrl,
  /** Arweave gateway: /graphql and /raw of modules, processes and messages. */
  gatewayUrl: unitUrl,
};
export const coreSchema = z.strictObject(coreShape);
export type CoreConfig = z.output<typeof coreSchema>;

export const networkSchema = z.strictObject(networkShape);
export type NetworkConfig = z.output<typeof networkSchema>;
