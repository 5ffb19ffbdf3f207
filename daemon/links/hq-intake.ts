/** What HQ sends down, checked at the door. */
import type { ErrorBody } from '../contract/errors.ts'
import type { Json, JsonObject } from '../contract/json.ts'
import { DEVICE, NAME } from '../contract/topics.ts'
import type { DownAck, DownAnswer, DownCommand, DownDesired } from '../contract/uplink.ts'

/** A command's id lands in the journal and in every answer. */
export const ID_BYTES = 128

/** Either the message, or why it is refused; `id` when it could be made out, so that HQ can be told. */
export type Taken<Message> = { message: Message } | { refused: ErrorBody; id?: string; version?: number }

export function takeAck(payload: Buffer): Taken<DownAck> {
  const value = parseObject(payload)
  if ('code' in value) return { refused: value }
  const { epoch, sequence, resendFrom } = value.object
  if (typeof epoch !== 'string' || !isSequence(sequence)) return { refused: malformed('must be {epoch, sequence}') }
  if (resendFrom !== undefined && !isSequence(resendFrom)) return { refused: malformed('resendFrom must be a sequence') }
  return { message: { epoch, sequence, ...(resendFrom === undefined ? {} : { resendFrom }) } }
}

export function takeDesired(payload: Buffer): Taken<DownDesired> {
  const value = parseObject(payload)
  if ('code' in value) return { refused: value }
  const { version, digest, config } = value.object
  if (!isSequence(version) || version < 1) return { refused: malformed('version must be an integer from 1 on') }
  if (!isObject(config)) return { refused: malformed('config must be an object'), version }
  if (digest !== undefined && typeof digest !== 'string') return { refused: malformed('digest must be text'), version }
  return { message: { version, config, ...(digest === undefined ? {} : { digest }) } }
}

export function takeCommand(payload: Buffer): Taken<DownCommand> {
  const value = parseObject(payload)
  if ('code' in value) return { refused: value }
  const { id, plugin, device, command, args, issuedAt, expiresAt } = value.object
  if (typeof id !== 'string' || id === '' || Buffer.byteLength(id) > ID_BYTES)
    return { refused: malformed(`id must be text of 1 to ${ID_BYTES} bytes`) }
  const refuse = (message: string): Taken<DownCommand> => ({ refused: malformed(message), id })
  if (typeof plugin !== 'string' || !NAME.test(plugin)) return refuse('plugin must be a plugin’s name')
  if (typeof device !== 'string' || !DEVICE.test(device)) return refuse('device must be a device’s name, or "-"')
  if (typeof command !== 'string' || !NAME.test(command)) return refuse('command must be a command’s name')
  if (issuedAt !== undefined && typeof issuedAt !== 'string') return refuse('issuedAt must be an RFC 3339 instant')
  if (expiresAt !== undefined && (typeof expiresAt !== 'string' || Number.isNaN(Date.parse(expiresAt))))
    return refuse('expiresAt must be an RFC 3339 instant')
  return {
    message: {
      id,
      plugin,
      device,
      command,
      ...(args === undefined ? {} : { args }),
      ...(issuedAt === undefined ? {} : { issuedAt }),
      ...(expiresAt === undefined ? {} : { expiresAt }),
    },
  }
}

export function takeAnswer(payload: Buffer): Taken<DownAnswer> {
  const value = parseObject(payload)
  if ('code' in value) return { refused: value }
  const { id, result, error } = value.object
  if (typeof id !== 'string') return { refused: malformed('id must be text') }
  if (error === undefined) return { message: { id, ...(result === undefined ? {} : { result }) } }
  if (result !== undefined || !isObject(error) || typeof error.code !== 'string' || typeof error.message !== 'string')
    return { refused: malformed('must hold either result or error, which is {code, message}'), id }
  return { message: { id, error: { code: error.code, message: error.message } } }
}

function parseObject(payload: Buffer): { object: JsonObject } | ErrorBody {
  let value: Json
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload)) as Json
  } catch {
    return malformed('is not JSON in UTF-8')
  }
  return isObject(value) ? { object: value } : malformed('must be a JSON object')
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isSequence(value: Json | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function malformed(message: string): ErrorBody {
  return { code: 'payload-malformed', message }
}
