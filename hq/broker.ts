/** A short-lived connection to HQ's broker, for one publish and perhaps an answer. */
import { readFileSync } from 'node:fs'
import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import { Failure } from '../daemon/contract/errors.ts'

export interface BrokerArgs {
  broker: string
  ca?: string
  cert?: string
  key?: string
  username?: string
  passwordFile?: string
}

/** Rejects with `secret-unreadable`. */
export function credentials(args: BrokerArgs): Pick<IClientOptions, 'ca' | 'cert' | 'key' | 'username' | 'password'> {
  const file = (path: string, flag: string) => {
    try {
      return readFileSync(path)
    } catch (error) {
      throw new Failure(
        'secret-unreadable',
        `--${flag}: cannot read ${path}: ${(error as NodeJS.ErrnoException).code ?? 'error'}`,
        [],
        error,
      )
    }
  }
  return {
    ...(args.ca === undefined ? {} : { ca: file(args.ca, 'ca') }),
    ...(args.cert === undefined ? {} : { cert: file(args.cert, 'cert') }),
    ...(args.key === undefined ? {} : { key: file(args.key, 'key') }),
    ...(args.username === undefined ? {} : { username: args.username }),
    ...(args.passwordFile === undefined ? {} : { password: file(args.passwordFile, 'password-file').toString('utf8').trim() }),
  }
}

/** Connects once. Rejects with `broker-unreachable`. */
export async function withBroker<Value>(args: BrokerArgs, use: (client: MqttClient) => Promise<Value>): Promise<Value> {
  const client = connect(args.broker, { ...credentials(args), protocolVersion: 4, clean: true, reconnectPeriod: 0, connectTimeout: 10_000 })
  try {
    await new Promise<void>((resolve, reject) => {
      const fail = (reason: string) => reject(new Failure('broker-unreachable', `${args.broker}: ${reason}`))
      client.on('error', (error) => fail(error.message || String((error as NodeJS.ErrnoException).code)))
      client.once('close', () => fail('connection closed'))
      client.once('connect', () => resolve())
    })
    return await use(client)
  } finally {
    await client.endAsync(!client.connected)
  }
}
