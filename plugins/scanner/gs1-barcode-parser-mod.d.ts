declare module 'gs1-barcode-parser-mod' {
  /** Throws a string, without the input in it, for what it cannot read. */
  export function parseBarcode(barcode: string): { codeName: string; parsedCodeItems: { ai: string; raw: string }[] }
  const parser: { parseBarcode: typeof parseBarcode }
  export default parser
}
