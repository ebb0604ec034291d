/**
 * A role's policy as IAM decides by it, as far as the stack writes any: statements that allow, with patterns of resources.
 * What it does not know it refuses to judge. An evaluator of npm's would do more, and has a licence that does not fit here.
 *
 * @see https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
 */

/** A statement, with its resources as text. */
export interface Statement {
  readonly sid: string;
  readonly actions: readonly string[];
  readonly resources: readonly string[];
}

/** What a request needs: an action on a resource. */
export interface Need {
  readonly action: string;
  /** An ARN. */
  readonly resource: string;
}

/** A policy that remembers what of it was needed. */
export class Policy {
  readonly #permissions: { readonly name: string; readonly action: string; readonly pattern: RegExp; used: boolean }[];
  /** What was asked for and is not allowed. */
  readonly denied: Need[] = [];

  constructor(statements: readonly Statement[]) {
    this.#permissions = statements.flatMap(({ sid, actions, resources }) =>
      actions.flatMap((action) =>
        resources.map((resource) => ({
          name: `${sid}: ${action} ${resource}`,
          action: action.toLowerCase(),
          pattern: patternOf(resource),
          used: false,
        })),
      ),
    );
  }

  /** Whether it allows this; remembers a refusal, and each permission that would do. */
  allows({ action, resource }: Need): boolean {
    const fitting = this.#fitting({ action, resource });
    for (const permission of fitting) permission.used = true;
    if (fitting.length === 0) this.denied.push({ action, resource });
    return fitting.length > 0;
  }

  /** The same without remembering. */
  would(need: Need): boolean {
    return this.#fitting(need).length > 0;
  }

  /** Permissions that nothing has needed so far, as `sid: action resource`. */
  unused(): string[] {
    return this.#permissions.filter(({ used }) => !used).map(({ name }) => name);
  }

  #fitting({ action, resource }: Need) {
    return this.#permissions.filter((one) => one.action === action.toLowerCase() && one.pattern.test(resource));
  }
}

/** `*` is any text, `?` any letter. */
function patternOf(resource: string): RegExp {
  const escaped = resource.replace(/[.+^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${escaped.replaceAll("*", "[^]*").replaceAll("?", ".")}$`);
}
