/** The part of the package qrcode that is used here. */
declare module 'qrcode' {
  interface Options {
    /** A picture, or lines for a terminal. */
    type: 'svg' | 'utf8';
    /** Share of the code that may be lost: M is 15 percent. */
    errorCorrectionLevel: 'M';
    /** Width of the quiet zone, modules. */
    margin: number;
  }
  /** @throws Error when the text does not fit into a code */
  export function toString(text: string, options: Options): Promise<string>;
}
