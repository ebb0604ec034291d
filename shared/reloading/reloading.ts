/** Texts that may change while the process runs, and what is made of them. */

/** A value that is kept up to date without a restart, a timer or a watch. */
export interface Reloading<T> {
  /**
   * The value as it is now, or was last known. The same object as long as the text is the same. A text that is missing,
   * unreadable or bad leaves the last good value in force. Never rejects.
   *
   * `urgent`: the caller has reason to think that the text has changed. Where others keep it, it is then read more often.
   */
  current(urgent?: boolean): Promise<T>;
}

/** What is made of a text. */
export interface ReloadingOptions<T> {
  /** A larger text is an error. In bytes. */
  readonly maxBytes: number;
  /** Makes the value of the text; may throw. */
  readonly parse: (text: string) => T;
  /** Told of what could not be used, and not of every look at it. Must not throw. */
  readonly onBadChange: (error: unknown) => void;
}

/** A place where a text is. */
export interface TextSource {
  /** What messages call it: `file /etc/registry/htpasswd`. */
  readonly name: string;
  /** Reads the text for the first time. @throws whatever reading or parsing it throws */
  open<T>(options: ReloadingOptions<T>): Promise<Reloading<T>>;
}
