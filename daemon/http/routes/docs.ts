import type { FastifyInstance } from 'fastify'
import { DOCS_FILES } from '../docs-files.ts'
import { makeOpenapi } from '../openapi.ts'
import type { RouteParts } from '../parts.ts'
import { StaticFiles } from '../static-files.ts'
import { apiRoutes } from './api.ts'

/** Swagger UI's style sheet has its icons in `data:` addresses. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>shopwire API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"><p>The same as JSON: <a href="/docs/json">/docs/json</a></p></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`

const START = `SwaggerUIBundle({ url: '/docs/json', dom_id: '#swagger-ui', deepLinking: true, validatorUrl: null })\n`

/** `GET /docs`: the OpenAPI document and a page to read and try it. Nothing of it is loaded before someone asks. */
export function docsRoutes(app: FastifyInstance, parts: RouteParts): void {
  const { docsDir, gateway } = parts.options
  let document: Promise<string> | undefined

  app.get('/docs', { config: { page: true } }, async (_request, reply) => {
    if (docsDir === undefined) return reply.redirect('/docs/json', 302)
    return reply.header('content-security-policy', POLICY).type('text/html; charset=utf-8').serializer(asItIs).send(PAGE)
  })
  app.get('/docs/', { config: { page: true } }, async (_request, reply) => reply.redirect('/docs', 302))
  app.get('/docs/start.js', async (_request, reply) => reply.type('text/javascript; charset=utf-8').serializer(asItIs).send(START))
  app.get('/docs/json', async (_request, reply) => {
    document ??= makeOpenapi(gateway().version, (other) => apiRoutes(other, parts))
    document.catch(() => {
      document = undefined
    })
    return reply
      .type('application/json; charset=utf-8')
      .serializer(asItIs)
      .send(await document)
  })
  if (docsDir === undefined) return
  const files = new StaticFiles(docsDir, 'private, max-age=3600')
  app.get<{ Params: { file: string } }>('/docs/:file', async (request, reply) =>
    files.send(request, reply, request.params.file, DOCS_FILES),
  )
}

const asItIs = (text: unknown) => text as string
