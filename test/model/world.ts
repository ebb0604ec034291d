/** What a scenario is about: blobs and manifests with their marks. */
import { Cells, type Cell, type State } from "./cells.ts";
import { Violation } from "./program.ts";
import { RULES, times, type Backend, type Rules, type Times } from "./rules.ts";
import { Mark, StoredObject } from "./store.ts";

export interface Settings {
  readonly times?: Partial<Times>;
  readonly rules?: Partial<Rules>;
  readonly backend?: Backend;
  /** Are untagged manifests collected? */
  readonly untagged?: boolean;
  /** Does a run read its listings in any order, or in that of the page? */
  readonly anyOrder?: boolean;
}

/** Bytes of a layer or config, with its links. */
export interface Blob {
  readonly name: string;
  readonly mark: Mark;
  readonly bytes: StoredObject;
  /** One for each repository that may have it. */
  readonly links: readonly StoredObject[];
}

export interface Manifest {
  readonly name: string;
  /** Number of its repository: which of the links of its blobs count. */
  readonly repository: number;
  readonly blobs: readonly Blob[];
  readonly children: Manifest[];
  readonly subject: Manifest | undefined;
  readonly revision: StoredObject;
  /** The mark of its digest and its bytes. Without them it is one whose bytes are always there, to keep a scenario small. */
  readonly content: { readonly mark: Mark; readonly bytes: StoredObject } | undefined;
  /** The mark of its revision, where untagged manifests are collected. */
  readonly mark: Mark | undefined;
  /** Was answered with 201, and nobody has deleted it since. */
  readonly acknowledged: Cell;
  /** The entry that leads from the subject here. */
  readonly entry: StoredObject | undefined;
}

export interface ManifestParts {
  readonly repository?: number;
  readonly blobs?: readonly Blob[];
  readonly children?: Manifest[];
  readonly subject?: Manifest;
  /** Its bytes and their mark are part of the scenario. */
  readonly content?: boolean;
}

export class World {
  readonly cells = new Cells();
  readonly times: Times;
  readonly rules: Rules;
  readonly backend: Backend;
  readonly untagged: boolean;
  readonly anyOrder: boolean;
  readonly blobs: Blob[] = [];
  readonly manifests: Manifest[] = [];
  readonly marks: Mark[] = [];
  /** The one tag: number of the manifest that it names in `manifests`, from 1; 0 is none. */
  readonly tag: Cell;
  /** Called when a user deletes something: nobody can rely any more on what was there. */
  readonly onDelete: ((s: State) => void)[] = [];

  constructor({ times: changes = {}, rules = {}, backend = "bucket", untagged = false, anyOrder = false }: Settings) {
    this.times = times(changes);
    this.rules = { ...RULES, ...rules };
    this.backend = backend;
    this.untagged = untagged;
    this.anyOrder = anyOrder;
    this.tag = this.cells.cell("tag");
  }

  blob(name: string, repositories = 1): Blob {
    const bytes = this.#object(`bytes of ${name}`);
    const links = Array.from({ length: repositories }, (_, r) => this.#object(`link ${r} of ${name}`));
    const blob = { name, mark: this.#mark(`mark of ${name}`), bytes, links };
    this.blobs.push(blob);
    return blob;
  }

  manifest(name: string, parts: ManifestParts = {}): Manifest {
    const { repository = 0, blobs = [], children = [], subject, content = false } = parts;
    const manifest = {
      name,
      repository,
      blobs,
      children,
      subject,
      revision: this.#object(`revision of ${name}`, this.untagged),
      content: content ? { mark: this.#mark(`mark of ${name}`), bytes: this.#object(`bytes of ${name}`) } : undefined,
      mark: this.untagged ? this.#mark(`revision mark of ${name}`) : undefined,
      acknowledged: this.cells.cell(`${name} acknowledged`),
      entry: subject === undefined ? undefined : this.#object(`referrer entry of ${name}`, false),
    };
    this.manifests.push(manifest);
    return manifest;
  }

  /** The manifests that refer to this one as their subject. */
  referrersOf(manifest: Manifest): Manifest[] {
    return this.manifests.filter(({ subject }) => subject === manifest);
  }

  isTagged(s: State, manifest: Manifest): boolean {
    return this.tag.get(s) === this.manifests.indexOf(manifest) + 1;
  }

  /** Called when a user deletes the link of a blob. */
  readonly onBlobDelete: ((s: State) => void)[] = [];

  /** A user has deleted something. */
  deleted(s: State): void {
    for (const forget of this.onDelete) forget(s);
  }

  /** Where nobody asks for its age, it has none: fewer states. */
  #object(name: string, hasAge = true): StoredObject {
    return new StoredObject(this.cells, name, hasAge ? this.times.HORIZON + 1 : 0);
  }

  #mark(name: string): Mark {
    const mark = new Mark(this.cells, name, this);
    this.marks.push(mark);
    return mark;
  }
}

/** Is there all that a client needs of a manifest? */
export function isComplete(s: State, manifest: Manifest): boolean {
  const { repository, blobs, children, revision, content } = manifest;
  return (
    revision.exists(s) &&
    (content?.bytes.exists(s) ?? true) &&
    blobs.every(({ bytes, links }) => bytes.exists(s) && (links[repository]?.exists(s) ?? false)) &&
    children.every((child) => isComplete(s, child))
  );
}

export function violate(text: string): never {
  throw new Violation(text);
}
