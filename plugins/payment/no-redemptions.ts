/** Codes other than pay codes are not taken. */
import type { Redemptions } from './redeem/api.ts'

export const noRedemptions: Redemptions = {
  scanned: async () => {},
  opened: async () => {},
  settled: async () => {},
  handle: () => undefined,
  stop: async () => {},
}
