/** Of `@fastify/swagger-ui`'s `static` folder: what `/docs` needs of it, and all the build copies into `docsDir`. */
export const DOCS_FILES = ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png'] as const
