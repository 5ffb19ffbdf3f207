/** A command as it comes on `shop/{plugin}/{device}/cmd/{command}`. */
import type { CommandRequest } from '../contract/command.ts'
import type { ErrorBody } from '../contract/errors.ts'
import type { Json } from '../contract/json.ts'
import { DEVICE, NAME } from '../contract/topics.ts'

const PAYLOAD_BYTES = 256 * 1024
const KNOWN = ['id', 'args', 'expiresAt']
const utf8 = new TextDecoder('utf-8', { fatal: true })

export interface LanTopic {
  plugin: string
  device: string
  command: string
}

/**
 * The topic taken apart. Undefined when there is not even a place to answer: plugin or device are no names. A command
 * that is no name is dispatch's to refuse.
 */
export function readTopic(topic: string): LanTopic | undefined {
  const [root, plugin = '', device = '', cmd, command, ...rest] = topic.split('/')
  if (root !== 'shop' || cmd !== 'cmd' || command === undefined || rest.length > 0) return undefined
  return NAME.test(plugin) && DEVICE.test(device) ? { plugin, device, command } : undefined
}

/** The request, or why the payload is none; `id` is `-` when it could not be read. An empty payload stands for `{}`. */
export function readPayload(topic: LanTopic, payload: Buffer): CommandRequest | { id: string; error: ErrorBody } {
  if (payload.length > PAYLOAD_BYTES)
    return malformed('-', `is ${payload.length} bytes; at most ${PAYLOAD_BYTES} are taken`, 'payload-too-large')
  let content: Json
  try {
    content = payload.length === 0 ? {} : (JSON.parse(utf8.decode(payload)) as Json)
  } catch {
    return malformed('-', 'is not JSON in UTF-8; it must look like {"id":"r-1","args":{…}}')
  }
  if (content === null || typeof content !== 'object' || Array.isArray(content))
    return malformed('-', 'must be an object like {"id":"r-1","args":{…}}')
  const { id, args, expiresAt } = content
  const known = typeof id === 'string' ? id.slice(0, 128) : '-'
  const unknown = Object.keys(content).find((key) => !KNOWN.includes(key))
  if (unknown !== undefined)
    return malformed(known, `has "${unknown.slice(0, 64)}", which is not known here; known are ${KNOWN.join(', ')}`)
  if (id !== undefined && typeof id !== 'string') return malformed('-', 'has an id that is not a string')
  if (expiresAt !== undefined && typeof expiresAt !== 'string') return malformed(known, 'has an expiresAt that is not a string')
  return {
    ...topic,
    from: 'lan',
    ...(id === undefined ? {} : { id }),
    ...(args === undefined ? {} : { args }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  }
}

function malformed(
  id: string,
  message: string,
  code: 'payload-malformed' | 'payload-too-large' = 'payload-malformed',
): { id: string; error: ErrorBody } {
  return { id, error: { code, message: `the payload ${message}` } }
}
