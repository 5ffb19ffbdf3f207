/** Put in by the build; `dev` where the sources run as they are (tests). */
export const VERSION: string = process.env.SHOPWIRE_VERSION ?? 'dev'
