import type { Reloading, ReloadingOptions, TextSource } from "./reloading.ts";

/** How often a text that somebody else keeps is read, at most. In milliseconds, as all that follows. */
const MAX_AGE_MS = 60_000;
/** The same where somebody has reason to think that it has changed: anybody can give such a reason. */
const URGENT_AGE_MS = 10_000;
/** How long a request waits for the text to be read anew; then what it last said is used. */
const PATIENCE_MS = 1_000;

/** How a parameter is read. */
export interface ParameterOptions {
  /** What messages call it. */
  readonly name: string;
  /** Reads the text; must end by itself, and says in its error what is wrong. */
  readonly read: () => Promise<string>;
  /** Milliseconds of a clock that only goes forward. By default this process's. */
  readonly clock?: () => number;
}

/**
 * A text in a store of parameters. Who asks for it makes it be read again, when a minute has passed since it was read last,
 * well or not, or ten seconds where that is urgent: a function stands still between requests, so nothing is done then.
 */
export function parameterSource(source: ParameterOptions): TextSource {
  return { name: source.name, open: async (options) => await ReloadingParameter.open(source, options) };
}

class ReloadingParameter<T> implements Reloading<T> {
  readonly #source: ParameterOptions;
  readonly #options: ReloadingOptions<T>;
  readonly #clock: () => number;
  #text: string;
  #value: T;
  /** When the last reading that has ended had begun. */
  #readAt: number;
  /** Ends with the reading that is under way, or when nobody waits for that any more. */
  #waiting: Promise<void> | undefined;

  private constructor(source: ParameterOptions, options: ReloadingOptions<T>, text: string, readAt: number) {
    this.#source = source;
    this.#options = options;
    this.#clock = source.clock ?? monotonic;
    this.#text = text;
    this.#value = parse(text, options);
    this.#readAt = readAt;
  }

  static async open<T>(source: ParameterOptions, options: ReloadingOptions<T>): Promise<ReloadingParameter<T>> {
    const readAt = (source.clock ?? monotonic)();
    return new ReloadingParameter(source, options, await source.read(), readAt);
  }

  async current(urgent = false): Promise<T> {
    if (this.#clock() - this.#readAt >= (urgent ? URGENT_AGE_MS : MAX_AGE_MS))
      await (this.#waiting ??= this.#refresh());
    return this.#value;
  }

  async #refresh(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, PATIENCE_MS).unref();
    });
    const reading = this.#read().finally(() => {
      clearTimeout(timer);
      this.#waiting = undefined;
    });
    await Promise.race([reading, patience]);
  }

  async #read(): Promise<void> {
    const readAt = this.#clock();
    try {
      const text = await this.#source.read();
      if (text !== this.#text) {
        this.#value = parse(text, this.#options);
        this.#text = text;
      }
    } catch (error) {
      this.#options.onBadChange(error);
    }
    this.#readAt = readAt;
  }
}

function parse<T>(text: string, { maxBytes, parse: make }: ReloadingOptions<T>): T {
  if (Buffer.byteLength(text) > maxBytes) throw new Error(`it is larger than ${maxBytes} bytes`);
  return make(text);
}

function monotonic(): number {
  return performance.now();
}
