/** Every number that bounds something, in one place. Sizes in bytes, times in milliseconds. */
export const limits = {
  /** Largest manifest. The specification asks for 4 MiB at least; clients refuse larger ones. */
  manifestBytes: 4 * 1024 * 1024,
  /** How deep the JSON of a manifest may nest. */
  manifestDepth: 100,
  /** References of one manifest that are looked up at a time. */
  manifestChecks: 16,
  /** Names that are looked up at a time to put a page of names in order. */
  nameLookups: 16,
  /** Longest repository name, as Docker and distribution have it. */
  repositoryName: 255,
  /** Tags that one manifest push may name (specification: at least 10). */
  tagsPerPush: 100,
  /** Tags of which is remembered what they named last. */
  tagsSeen: 10_000,
  /** Repositories of which is remembered that the catalog's index has them. */
  cataloguedSeen: 10_000,
  /**
   * For how long that is believed. An entry of the index that was written within twice this time is never removed, so that
   * none is while somebody relies on it; the second half is for clocks that differ.
   */
  cataloguedMs: 60 * 60 * 1000,
  /** Requests at a time that bring the catalog's index up to date. */
  catalogRefresh: 16,
  /** Entries in one page of tags or referrers when the client names no number. */
  pageEntries: 10_000,
  /** A page of referrers ends before this size, so that every client can read it. */
  referrersPageBytes: 3 * 1024 * 1024,
  /** A link holds one digest: the longest is 135 bytes. */
  linkBytes: 512,
  /** Length of a request's path and query. */
  urlBytes: 8 * 1024,
  /** Memory for the bodies of all uploads in flight together. */
  bodyMemoryBytes: 64 * 1024 * 1024,
  /** The most for those on their way to an object store, in parts of some MiB, and the share of free memory if that is less. */
  partMemoryBytes: 768 * 1024 * 1024,
  partMemoryShare: 0.375,
  /** How often the index of the catalog is made to say what other registries wrote. */
  catalogRefreshMs: 60 * 60 * 1000,
  /**
   * A request's body through API Gateway and Lambda: in base64, with the event around it, it stays below Lambda's 6 MB,
   * however those are counted.
   */
  eventBodyBytes: 4_400_000,
  /** An answer's body there; a manifest of the largest size fits. */
  eventAnswerBytes: 4_500_000,
  /** Memory for the bytes of all uploads together that wait to be hashed. */
  hashHeldBytes: 8 * 1024 * 1024,
  /** A client must send its headers within this time. */
  headersMs: 30_000,
  /** An idle connection is kept open for this long; longer than proxies keep theirs. */
  keepAliveMs: 75_000,
  /** A connection on which nothing moves for this long is closed. */
  silenceMs: 300_000,
  /** How long an answer waits for the end of a body that nobody wants, where it has to; Lambda ends a request at 900 s. */
  drainMs: 840_000,
  /** When stopping, how long requests whose connections were cut may take to clean up. */
  settleMs: 2_000,
  /** The first look for abandoned uploads, and at the catalog, after the start. */
  firstUpkeepMs: 60_000,
  /** How long a write waits for memory before it is answered with 429. */
  memoryWaitMs: 20_000,
} as const;
