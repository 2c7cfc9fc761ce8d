/** What founding a bridge takes: each step can be looked for and made again, and is made once. */
import type { TokenPlan } from '@isthmus/founding';

export interface Step {
  what: string;
  /** In words; what is paid by whom. */
  cost: string;
  /** Whether it was made before. */
  isDone: () => Promise<boolean>;
  /** @throws CommandError */
  make: () => Promise<void>;
}

/** A home chain of the bridge that is to be. */
export interface FoundedHome {
  steps: Step[];
  /** Its token processes, in the order of its assets. */
  tokens: TokenPlan[];
  /** The guardians' keys there. */
  keys: readonly string[];
  /** What is told of it once its steps are made. `processes` are its tokens', in their order. */
  gateway: (processes: readonly string[]) => Promise<object>;
  guardian: (processes: readonly string[]) => Promise<object>;
  /** What only people can do, one line each. */
  left: string[];
}

/** In the place of what each guardian has of its own. */
export const OWN = {
  rpcUrls: ['<sources of this guardian’s own choice>'],
  keyFile: '<this guardian’s key file on this chain>',
};
