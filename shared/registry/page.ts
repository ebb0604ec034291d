/** Pages of names in lexical (ASCII) order, as `n` and `last` ask for them. */
export interface PageRequest {
  /** Names wanted at most. */
  readonly limit: number;
  /** Names up to and including this one are left out; it need not exist. */
  readonly last?: string;
}

export interface NamePage {
  readonly names: readonly string[];
  /** More follow after the last name of this page. */
  readonly more: boolean;
}
