/** Users in a parameter of Systems Manager. */
import type { AwsTexts } from "../reloading/aws.ts";
import { sameChange, type UsersEdit, type UsersStore } from "./users.ts";

/**
 * A parameter that holds an htpasswd text. Parameter Store writes without a condition, so two who change it at once can take
 * each other's version away. Each write tells its version, though, and old versions can be read: who has left out what somebody
 * else wrote in between does that over again. For as long as that takes the other's change is not in force, and who is
 * killed then leaves it out.
 */
export class UsersParameter implements UsersStore {
  readonly name: string;
  readonly #aws: AwsTexts;
  readonly #parameter: string;

  /** `parameter`: its name or ARN. */
  constructor(aws: AwsTexts, parameter: string) {
    this.#aws = aws;
    this.#parameter = parameter;
    this.name = `ssm:${parameter}`;
  }

  async read(): Promise<string> {
    return (await this.#aws.readParameter(this.#parameter)).text;
  }

  async change(edit: UsersEdit): Promise<void> {
    for (let next = edit; ;) {
      const base = await this.#aws.readParameter(this.#parameter);
      const text = next(base.text);
      if (text === base.text) return;
      const version = await this.#aws.writeParameter(this.#parameter, text);
      if (version === base.version + 1) return;
      const lost = await this.#aws.readParameter(this.#parameter, version - 1);
      next = sameChange(base.text, lost.text);
    }
  }
}
