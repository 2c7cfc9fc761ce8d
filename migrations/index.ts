/** All migrations, named one by one: what runs is what is listed. */
import { AoPipeline1700000000100 } from './gateway/1700000000100-ao-pipeline.js';
import { Bridge1700000000200 } from './gateway/1700000000200-bridge.js';
import { Decisions1700000000300 } from './gateway/1700000000300-decisions.js';
import { AoBounds1700000000400 } from './gateway/1700000000400-ao-bounds.js';
import { Computing1700000000500 } from './gateway/1700000000500-computing.js';
import { PublicState1700000000800 } from './gateway/1700000000800-public-state.js';
import { Messenger1700000000700 } from './gateway/1700000000700-messenger.js';
import { ScheduleAndIndex1700000000600 } from './gateway/1700000000600-schedule-and-index.js';
import { Followed1700000000900 } from './gateway/1700000000900-followed.js';
import { Forgetting1700000001000 } from './gateway/1700000001000-forgetting.js';
import { Discarded1700000001100 } from './gateway/1700000001100-discarded.js';
import { Settlement1700000001200 } from './gateway/1700000001200-settlement.js';
import { State1700000001300 } from './gateway/1700000001300-state.js';
import { Audit1700000001400 } from './gateway/1700000001400-audit.js';
import { SpotChecks1700000001500 } from './gateway/1700000001500-spot-checks.js';
import { AuditedChain1700000001600 } from './gateway/1700000001600-audited-chain.js';
import { OpenProposals1700000001700 } from './gateway/1700000001700-open-proposals.js';
import { Bitcoin1700000001800 } from './gateway/1700000001800-bitcoin.js';
import { Bitcoin1700000000500 } from './guardian/1700000000500-bitcoin.js';
import { BitcoinProposals1700000000700 } from './guardian/1700000000700-bitcoin-proposals.js';
import { Solana1700000001900 } from './gateway/1700000001900-solana.js';
import { LateAddresses1700000002000 } from './gateway/1700000002000-late-addresses.js';
import { OpenTransfers1700000002100 } from './gateway/1700000002100-open-transfers.js';
import { BatchNumbers1700000002300 } from './gateway/1700000002300-batch-numbers.js';
import { SubmissionNumbers1700000002200 } from './gateway/1700000002200-submission-numbers.js';
import { Guardian1700000000100 } from './guardian/1700000000100-guardian.js';
import { MessageOnce1700000000300 } from './guardian/1700000000300-message-once.js';
import { Motions1700000000200 } from './guardian/1700000000200-motions.js';
import { Proposals1700000000400 } from './guardian/1700000000400-proposals.js';
import { Solana1700000000600 } from './guardian/1700000000600-solana.js';
import { LateScripts1700000000800 } from './guardian/1700000000800-late-scripts.js';
import { LostDeposits1700000000900 } from './guardian/1700000000900-lost-deposits.js';

export const gatewayMigrations = [
  AoPipeline1700000000100,
  Bridge1700000000200,
  Decisions1700000000300,
  AoBounds1700000000400,
  Computing1700000000500,
  ScheduleAndIndex1700000000600,
  Messenger1700000000700,
  PublicState1700000000800,
  Followed1700000000900,
  Forgetting1700000001000,
  Discarded1700000001100,
  Settlement1700000001200,
  State1700000001300,
  Audit1700000001400,
  SpotChecks1700000001500,
  AuditedChain1700000001600,
  OpenProposals1700000001700,
  Bitcoin1700000001800,
  Solana1700000001900,
  LateAddresses1700000002000,
  OpenTransfers1700000002100,
  SubmissionNumbers1700000002200,
  BatchNumbers1700000002300,
];
export const guardianMigrations = [
  Guardian1700000000100,
  Motions1700000000200,
  MessageOnce1700000000300,
  Proposals1700000000400,
  Bitcoin1700000000500,
  Solana1700000000600,
  BitcoinProposals1700000000700,
  LateScripts1700000000800,
  LostDeposits1700000000900,
];
