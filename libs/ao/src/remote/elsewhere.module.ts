/**
 * AO's HTTP interface at a gateway that carries no units. Who reads is told where the units are; what is written is handed on, since clients
 * send a body once and cannot follow with it.
 */
import {
  All,
  Body,
  Controller,
  Inject,
  Module,
  Req,
  Res,
  UseFilters,
  type DynamicModule,
  type MiddlewareConsumer,
  type NestModule,
} from '@nestjs/common';
import type { Request, Response } from 'express';
import { fetchBounded } from '../compute/fetch-bounded.js';
import { UnitError, UnitErrors } from '../units/errors.js';
import { rawBody } from '../units/raw-body.js';

/** Base URLs by the first part of the path. */
export type UnitPlaces = Readonly<Partial<Record<'su' | 'mu' | 'cu' | 'graphql' | 'raw', string | undefined>>>;

const PLACES = 'ao-unit-places';
const PATHS = ['su', 'mu', 'cu', 'graphql', 'raw'].flatMap((unit) => [unit, `${unit}/*rest`]);
/** What a unit answers to something written: a result at most. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

@Controller()
@UseFilters(UnitErrors)
class ElsewhereController {
  constructor(@Inject(PLACES) private readonly places: UnitPlaces) {}

  @All(PATHS)
  async pass(@Req() request: Request, @Body() body: unknown, @Res() response: Response): Promise<void> {
    const [, unit, rest] = /^\/([a-z]+)(.*)$/s.exec(request.originalUrl) ?? [];
    const place = this.places[unit as keyof UnitPlaces];
    if (place === undefined)
      throw new UnitError(
        501,
        `The network this gateway is on has no /${unit}: ask its node at the process’ own path.`,
      );
    const url = `${place}${rest ?? ''}`;
    if (request.method === 'GET' || request.method === 'HEAD') return response.redirect(307, url);
    const { accept = '*/*', 'content-type': type = 'application/octet-stream' } = request.headers;
    const answer = await fetchBounded(url, MAX_ANSWER_BYTES, {
      method: request.method,
      headers: { accept, 'content-type': type },
      ...(Buffer.isBuffer(body) && body.length > 0 ? { body: new Uint8Array(body) } : {}),
    }).catch(() => {
      throw new UnitError(502, 'The unit of AO’s network that takes this does not answer: try again in a moment.');
    });
    const words = answer.body.toString('utf8');
    response
      .status(answer.status)
      .type(/^[[{]/.test(words) ? 'application/json' : 'text/plain')
      .send(words);
  }
}

@Module({})
export class AoElsewhereModule implements NestModule {
  static register(places: UnitPlaces): DynamicModule {
    return {
      module: AoElsewhereModule,
      controllers: [ElsewhereController],
      providers: [{ provide: PLACES, useValue: places }],
    };
  }

  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(rawBody).forRoutes(...PATHS);
  }
}
