/**
 * Bytes as scanners put them on the line, and what they mean. Two are a vendor's own examples, word for word: the AIM table of the
 * Honeywell 8650 manual ("A UPC-A bar code 012345678905 is transmitted as ]E00012345678905"; "An I 2 of 5 bar code without check
 * digit, 4123, is transmitted as ]I04123"). None is captured from a device: the others are put together by hand after the rules of
 * AIM, GS1 and the wallets' pay code shapes, not by this plugin's code. Captured ones are welcome here, with model and setting.
 */
import type { ScanData } from './scan.machine.ts'

export interface Golden {
  name: string
  /** Hex, framing included. */
  bytes: string
  expect: ScanData
  /** A pay code's digits, which nothing may show. */
  secret?: string
}

const hex = (text: string): string => Buffer.from(text, 'latin1').toString('hex')

export const GOLDEN: readonly Golden[] = [
  {
    name: 'UPC-A as 13 digits with its AIM identifier (Honeywell 8650 manual, AIM table)',
    bytes: hex(']E00012345678905\r'),
    expect: { kind: 'product', code: '0012345678905', symbology: 'ean-13', gtin: '00012345678905' },
  },
  {
    name: 'UPC-A as 12 digits',
    bytes: hex('012345678905\r\n'),
    expect: { kind: 'product', code: '012345678905', gtin: '00012345678905' },
  },
  {
    name: 'Interleaved 2 of 5 without check digit (Honeywell 8650 manual, AIM table)',
    bytes: hex(']I04123\r'),
    expect: { kind: 'unknown', code: '4123', symbology: 'itf' },
  },
  {
    name: 'EAN-13 without identifier, CR LF',
    bytes: '363930313233343536373839320d0a',
    expect: { kind: 'product', code: '6901234567892', gtin: '06901234567892' },
  },
  {
    name: 'EAN-8 between STX and ETX',
    bytes: hex('\u0002]E496385074\u0003'),
    expect: { kind: 'product', code: '96385074', symbology: 'ean-8', gtin: '00000096385074' },
  },
  {
    name: 'UPC-E 0 123456 5 expands to 012345000065',
    bytes: hex(']E001234565\r'),
    expect: { kind: 'product', code: '01234565', symbology: 'upc-e', gtin: '00012345000065' },
  },
  {
    name: 'ITF-14',
    bytes: hex(']I115400141288763\r'),
    expect: { kind: 'product', code: '15400141288763', symbology: 'itf', gtin: '15400141288763' },
  },
  {
    name: 'weighed goods: a number of the range 20-29',
    bytes: hex('2112345678900\r'),
    expect: { kind: 'product', code: '2112345678900', gtin: '02112345678900', variableMeasure: true },
  },
  {
    name: 'a GS1 coupon of the range 99',
    bytes: hex('9991234567890\r'),
    expect: { kind: 'coupon', code: '9991234567890', gtin: '09991234567890' },
  },
  {
    name: 'GS1-128 with GTIN and net weight (AI 3103)',
    bytes: hex(']C101069012345678923103001250\r'),
    expect: {
      kind: 'product',
      code: '01069012345678923103001250',
      symbology: 'gs1-128',
      gtin: '06901234567892',
      gs1: { '01': '06901234567892', '3103': '001250' },
    },
  },
  {
    name: 'GS1 DataMatrix: GTIN, expiry, lot, FNC1 as 1D, serial',
    bytes: '5d643230313036393031323334353637383932313732373132333131303132333441424 31d323153455237370d'.replaceAll(' ', ''),
    expect: {
      kind: 'product',
      code: '010690123456789217271231101234ABC\u001d21SER77',
      symbology: 'gs1-data-matrix',
      gtin: '06901234567892',
      gs1: { '01': '06901234567892', '17': '271231', '10': '1234ABC', '21': 'SER77' },
    },
  },
  {
    name: 'SSCC on a pallet label: 18 digits beginning like a WeChat code, but it says what it is',
    bytes: hex(']C100134567890123456783\r'),
    expect: { kind: 'unknown', code: '00134567890123456783', symbology: 'gs1-128', gs1: { '00': '134567890123456783' } },
  },
  {
    name: 'GS1 DataBar Expanded with a North American coupon (AI 8110)',
    bytes: hex(']e08110106141416543213150110120\r'),
    expect: {
      kind: 'coupon',
      code: '8110106141416543213150110120',
      symbology: 'gs1-databar',
      gs1: { '8110': '106141416543213150110120' },
    },
  },
  {
    name: 'Digital Link in a plain QR symbol',
    bytes: hex(']Q1https://id.gs1.org/01/09506000134352/10/ABC%2F1/21/12345?17=201225&linkType=all\n'),
    expect: {
      kind: 'product',
      code: 'https://id.gs1.org/01/09506000134352/10/ABC%2F1/21/12345?17=201225&linkType=all',
      symbology: 'qr',
      gtin: '09506000134352',
      gs1: { '01': '09506000134352', '10': 'ABC/1', '21': '12345', '17': '201225' },
    },
  },
  {
    name: 'WeChat pay code, Code 128',
    bytes: hex(']C0134567890123456789\r\n'),
    expect: { kind: 'pay', code: '13************6789', symbology: 'code-128', channel: 'wechat' },
    secret: '134567890123456789',
  },
  {
    name: 'WeChat pay code without identifier, NUL padded as on a break',
    bytes: `00${hex('104567890123456789')}000d`,
    expect: { kind: 'pay', code: '10************6789', channel: 'wechat' },
    secret: '104567890123456789',
  },
  {
    name: 'Alipay pay code in a QR symbol, TAB suffix',
    bytes: hex(']Q1287612345678901234\t\r'),
    expect: { kind: 'pay', code: '28************1234', symbology: 'qr', channel: 'alipay' },
    secret: '287612345678901234',
  },
  {
    name: 'a half UTF-8 sequence at the end',
    bytes: '4142e4bd0d',
    expect: { kind: 'unknown', code: 'AB\ufffd', raw: '4142e4bd' },
  },
  {
    name: 'UnionPay pay code',
    bytes: hex('6212345678901234567\r'),
    expect: { kind: 'pay', code: '62*************4567', channel: 'unionpay' },
    secret: '6212345678901234567',
  },
  {
    name: 'a pay code behind a one-letter code identifier (Symbol/Honeywell code ID) stays hidden',
    bytes: hex('j134567890123456789\r'),
    expect: { kind: 'unknown', code: 'j1*************6789' },
    secret: '134567890123456789',
  },
  {
    name: 'two pay codes glued together by a lost suffix stay hidden',
    bytes: hex('134567890123456789134567890123456780\r'),
    expect: { kind: 'unknown', code: `13${'*'.repeat(30)}6780` },
    secret: '134567890123456789',
  },
  {
    name: 'an escape sequence in a QR code does not reach a terminal',
    bytes: '411b5b33316d420d',
    expect: { kind: 'unknown', code: 'A\ufffd[31mB', raw: '411b5b33316d42' },
  },
]
