/**
 * The HTTP server under Nest and express, whose requests and responses are express' own from the moment they are made. Express turns Node's
 * into its own by giving each another prototype. V8 then keeps what belongs to a request through two collections of the young heap, so that
 * it moves to the old one: at 750 messages a second those collections came each six to ten seconds and held everybody up for a fifth of one.
 */
import http from 'node:http';
import { ExpressAdapter } from '@nestjs/platform-express';
import type { Express } from 'express';

type Made = new (...given: never[]) => object;

export class HttpAdapter extends ExpressAdapter {
  override initHttpServer(): void {
    const app = this.getInstance<Express>();
    const kinds = {
      IncomingMessage: madeAs(http.IncomingMessage, app.request),
      ServerResponse: madeAs(http.ServerResponse, app.response),
    };
    this.httpServer = http.createServer(kinds, app);
  }
}

/** A class that makes what `base` makes, with this prototype, which is to inherit from that of `base`. */
function madeAs<T extends Made>(base: T, prototype: object): T {
  function Kind(...given: never[]): object {
    return Reflect.construct(base, given, Kind) as object;
  }
  Kind.prototype = prototype;
  return Kind as unknown as T;
}
