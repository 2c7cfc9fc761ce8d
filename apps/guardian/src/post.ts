/** Hands one message to the network. What is answered is bounded: it is nobody to trust. */
import { EngineError, type AoNetwork } from '@isthmus/ao';

/** The network does not answer: nothing else is worth sending now. */
export class GatewayUnreachable extends Error {
  readonly code = 'unreachable';
}

/** The network will not take this message. */
export class MessageRefused extends Error {
  readonly code = 'message-refused';
  constructor(id: string, reason: string) {
    super(`Message ${id} is not taken: ${reason}`);
    this.name = 'MessageRefused';
  }
}

/** Resolves once the network has the item. @throws GatewayUnreachable, MessageRefused */
export async function postItem(network: AoNetwork, id: string, raw: Buffer): Promise<void> {
  try {
    await network.send({ id, raw });
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw error.code === 'refused' ? new MessageRefused(id, error.message) : new GatewayUnreachable(error.message);
  }
}
