/** The API's documentation, made from the schemas the code itself uses: what is not documented there is not answered. */
import { applyDecorators, type INestApplication } from '@nestjs/common';
import {
  ApiDefaultResponse,
  ApiOkResponse,
  ApiOperation,
  ApiQuery,
  DocumentBuilder,
  SwaggerModule,
  type OpenAPIObject,
} from '@nestjs/swagger';
import { z } from 'zod';
import { requestSchemas } from './input.js';
import { schemas, type IndexAnswer } from './schemas.js';

type SchemaName = keyof typeof schemas | keyof typeof requestSchemas;
type JsonSchema = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>[string];

/** A schema by its name in the documentation. */
export const ref = (name: SchemaName): { $ref: string } => ({ $ref: `#/components/schemas/${name}` });

/** A route's summary, the schema of its answer, and that its refusals are problems. */
export function Answers(name: keyof typeof schemas, summary: string, type = 'application/json') {
  return applyDecorators(
    ApiOperation({ summary }),
    ApiOkResponse({ description: schemas[name].description ?? summary, content: { [type]: { schema: ref(name) } } }),
    ApiDefaultResponse({
      description: 'What is wrong and what to do',
      content: { 'application/problem+json': { schema: ref('Problem') } },
    }),
  );
}

/** A route's query parameters. */
export function QueryOf(schema: z.ZodObject) {
  const { properties = {}, required = [] } = jsonSchema(schema);
  return applyDecorators(
    ...Object.entries(properties).map(([name, { description = '', ...rest }]) =>
      ApiQuery({ name, required: required.includes(name), description, schema: rest as JsonSchema }),
    ),
  );
}

interface ObjectSchema {
  properties?: Record<string, { description?: string }>;
  required?: string[];
}

const jsonSchema = (schema: z.ZodObject): ObjectSchema =>
  z.toJSONSchema(schema, { io: 'input', target: 'openapi-3.0' }) as ObjectSchema;

function components(): Record<string, JsonSchema> {
  const of = (named: Record<string, z.ZodType>, io: 'input' | 'output'): Record<string, JsonSchema> => {
    const registry = z.registry<{ id: string }>();
    for (const [id, schema] of Object.entries(named)) registry.add(schema, { id });
    const made = z.toJSONSchema(registry, { io, target: 'openapi-3.0', uri: (id) => ref(id as SchemaName).$ref });
    return Object.fromEntries(
      Object.entries(made.schemas).map(([id, { $id: _, ...schema }]) => [id, schema as JsonSchema]),
    );
  };
  return { ...of(schemas, 'output'), ...of(requestSchemas, 'input') };
}

export function documentOf(app: INestApplication): OpenAPIObject {
  const head = new DocumentBuilder()
    .setTitle('Isthmus gateway')
    .setDescription('Bridge between AO and other chains. All amounts are decimal strings in base units.')
    .setVersion('1')
    .addBearerAuth({ type: 'http', description: 'The operator’s key, what operatorKeyFile holds' })
    .build();
  const document = SwaggerModule.createDocument(app, head);
  return { ...document, components: { ...document.components, schemas: components() } };
}

/** The routes of /v1, as `GET /v1` lists them; known once the gateway is put together. */
export class RouteIndex {
  routes: IndexAnswer['routes'] = [];

  fill({ paths }: OpenAPIObject): void {
    this.routes = Object.entries(paths)
      .filter(([path]) => path.startsWith('/v1/'))
      .flatMap(([path, { get, post }]) =>
        Object.entries({ GET: get, POST: post }).flatMap(([method, operation]) =>
          operation ? [{ method, path, summary: operation.summary ?? '' }] : [],
        ),
      );
  }
}
