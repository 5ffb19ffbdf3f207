/**
 * The one table of error codes. Every error that leaves a module carries one of these; its
 * message names the thing, what is wrong and what is allowed.
 *
 * - `http`: the status an HTTP caller sees.
 * - `retry`: whether the same request may succeed later without being changed.
 * - `means`: one sentence for the published documentation.
 */
export const ERRORS = {
  'config-unreadable': { http: 500, retry: false, means: 'The config file cannot be read or is not YAML.' },
  'config-invalid': { http: 422, retry: false, means: 'The config breaks its schema; each problem is listed with its path.' },
  'secret-unreadable': { http: 500, retry: false, means: 'A secret file named in the config cannot be read.' },

  'plugin-manifest-invalid': { http: 422, retry: false, means: 'plugin.json is missing, not JSON, or breaks its schema.' },
  'plugin-api-unsupported': { http: 422, retry: false, means: 'The plugin was made for another version of the plugin API.' },
  'plugin-path-unsafe': { http: 422, retry: false, means: 'The plugin name or entry points outside the plugin folder.' },
  'plugin-name-taken': { http: 409, retry: false, means: 'Another plugin with this name is loaded.' },
  'plugin-not-found': { http: 404, retry: false, means: 'No plugin of this name is loaded.' },
  'plugin-not-running': { http: 503, retry: true, means: 'The plugin is loaded but is not running now.' },
  'plugin-quarantined': { http: 503, retry: false, means: 'The plugin crashed too often and was taken out of service.' },
  'plugin-start-failed': { http: 500, retry: true, means: 'The plugin did not become healthy after its start.' },
  'plugin-unresponsive': { http: 504, retry: true, means: 'The plugin stopped answering and was killed.' },
  'plugin-failed': { http: 500, retry: false, means: 'The plugin answered a command with an error of its own.' },
  'permission-denied': { http: 403, retry: false, means: 'The plugin did not declare the permission for this.' },

  'event-invalid': { http: 422, retry: false, means: 'An event is not declared by its plugin or breaks its schema.' },
  'device-unknown': { http: 404, retry: false, means: 'The plugin has no device of this name.' },
  'device-offline': { http: 503, retry: true, means: 'The device cannot be reached now.' },
  'device-fault': { http: 503, retry: true, means: 'The device is reachable and says that it cannot work (paper, cover, error).' },
  'device-unsupported': { http: 422, retry: false, means: 'This device cannot do what was asked.' },

  'command-unknown': { http: 404, retry: false, means: 'The plugin has no command of this name.' },
  'args-invalid': { http: 422, retry: false, means: 'The command arguments break the schema of the command.' },
  'command-expired': { http: 410, retry: false, means: 'The command arrived or was reached after its expiresAt.' },
  'command-timeout': { http: 504, retry: false, means: 'The command did not finish in time; its outcome is unknown.' },
  'command-interrupted': {
    http: 502,
    retry: false,
    means: 'A crash cut the command off; whether it ran is unknown. It is never run twice.',
  },
  'command-id-reused': { http: 409, retry: false, means: 'This command id was used before for a different command.' },
  'payload-malformed': { http: 400, retry: false, means: 'The payload is not the JSON this topic or route takes.' },
  'payload-too-large': { http: 413, retry: false, means: 'The payload is larger than the limit.' },
  'queue-full': { http: 429, retry: true, means: 'Too much is waiting already; try again later.' },

  'network-denied': {
    http: 503,
    retry: false,
    means: 'The right to work on the network is missing; the message names what, and the mend.',
  },
  'session-unknown': { http: 404, retry: false, means: 'There is no such guest session.' },
  'code-invalid': { http: 422, retry: false, means: 'The code is not one of ours, has expired, or is not for this.' },
  'code-used': { http: 409, retry: false, means: 'The code has been used already.' },
  'code-locked': { http: 429, retry: true, means: 'Too many wrong codes; try again later.' },

  'amount-invalid': {
    http: 422,
    retry: false,
    means: 'An amount is a whole number of minor units (cents, fen), from 1 on, that a provider takes.',
  },
  'payment-not-found': { http: 404, retry: false, means: 'No such payment is known here.' },
  'payment-conflict': { http: 409, retry: false, means: 'This order number was used with another amount, currency or till.' },
  'payment-state': { http: 409, retry: false, means: 'The payment is not in a state that allows this.' },
  'payment-refused': { http: 422, retry: false, means: 'The provider refused; nothing was charged.' },
  'payment-unknown': { http: 502, retry: false, means: 'Whether money moved is not known yet; it is being asked until it is.' },

  'job-unknown': { http: 404, retry: false, means: 'No print job of this id is kept.' },
  'job-cancelled': { http: 409, retry: false, means: 'The print job was cancelled before anything of it was sent.' },
  'job-uncertain': { http: 502, retry: false, means: 'The line was cut while printing; look at the paper, then ask for a reprint.' },

  'journal-full': { http: 507, retry: true, means: 'The disk is full; nothing was stored.' },
  'journal-failed': { http: 500, retry: true, means: 'The journal could not store; nothing was acknowledged.' },
  'journal-corrupt': { http: 500, retry: false, means: 'The journal file fails its integrity check.' },

  'hq-unreachable': { http: 503, retry: true, means: 'HQ cannot be reached now; nothing was sent.' },
  'hq-no-answer': { http: 504, retry: true, means: 'HQ was asked and did not answer in time; it may have done what was asked.' },
  'hq-refused': { http: 502, retry: false, means: 'HQ answered with an error of its own.' },
  'desired-invalid': { http: 422, retry: false, means: 'HQ asked for a config this gateway cannot take.' },
  unauthorized: { http: 401, retry: false, means: 'A token or password is needed.' },
  'too-many-attempts': {
    http: 429,
    retry: true,
    means: 'Too many wrong passwords or tokens; try again after the time given in Retry-After.',
  },
  forbidden: { http: 403, retry: false, means: 'This user may not do that.' },
  'not-found': { http: 404, retry: false, means: 'There is nothing at this address.' },
  'port-taken': { http: 500, retry: true, means: 'Another program listens on this address.' },
  'daemon-unreachable': { http: 503, retry: true, means: 'No shopwire daemon answers on its socket.' },
  'broker-unreachable': { http: 503, retry: true, means: 'The MQTT broker cannot be reached.' },
  stopping: { http: 503, retry: true, means: 'The daemon is stopping.' },
  internal: { http: 500, retry: false, means: 'A defect in shopwire itself; the log has the details.' },
} as const satisfies Record<string, { http: number; retry: boolean; means: string }>

export type ErrorCode = keyof typeof ERRORS

/** How an error crosses a door: MQTT, HTTP, IPC. */
export interface ErrorBody {
  code: ErrorCode
  message: string
  /** Where in the input, as a JSON path (`plugins.scanner.devices.till-1.port`). */
  problems?: Problem[]
}

/** One thing wrong with one value. Printed as `path: message`. */
export interface Problem {
  path: string
  /** What is wrong, and what is allowed. */
  message: string
}

/** An error with a code from the table. Plugins may throw it; it reaches the caller as it is. */
export class Failure extends Error {
  readonly code: ErrorCode
  readonly problems: readonly Problem[]

  constructor(code: ErrorCode, message: string, problems: readonly Problem[] = [], cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'Failure'
    this.code = code
    this.problems = problems
  }

  toBody(): ErrorBody {
    return {
      code: this.code,
      message: this.message,
      ...(this.problems.length > 0 ? { problems: [...this.problems] } : {}),
    }
  }
}

/**
 * Any thrown thing as a `Failure`: a `Failure` as it is, the rest under `code`. Every bundle has a `Failure` class of its
 * own, and a third-party plugin may throw a plain error with a `code` of the table: both are told by the code.
 */
export function asFailure(error: unknown, code: ErrorCode = 'internal'): Failure {
  if (error instanceof Failure) return error
  if (error instanceof Error && 'code' in error && isErrorCode(error.code))
    return new Failure(error.code, error.message, 'problems' in error && Array.isArray(error.problems) ? error.problems : [], error)
  const message = error instanceof Error ? error.message : String(error)
  return new Failure(code, message, [], error)
}

/** Whether `code` stands in the table. */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERRORS, code)
}
