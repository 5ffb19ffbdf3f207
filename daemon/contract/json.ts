/** What may cross a process or network door: plain JSON, nothing else. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
export type JsonObject = { [key: string]: Json }

/** A JSON Schema (draft 2020-12 subset that Ajv's default build knows), kept as data. */
export type JsonSchema = { [keyword: string]: unknown }
