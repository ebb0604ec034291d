/** What a scenario is about: blobs and manifests with their marks. */
import { Cells, type Cell, type Clock, type State } from "./cells.ts";
import { Violation } from "./program.ts";
import { RULES, times, type Backend, type Rules, type Times } from "./rules.ts";
import { Mark, StoredObject } from "./store.ts";

export interface Settings {
  readonly times?: Partial<Times>;
  readonly rules?: Partial<Rules>;
  readonly backend?: Backend;
  /** Are untagged manifests collected? */
  readonly untagged?: boolean;
  /** Does retention take tags? It takes the one of the scenario as soon as it may. */
  readonly tagsExpire?: boolean;
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
  /** The tag that is named after it: of a signature. */
  readonly named: NamedTag | undefined;
}

/** A tag that is named after a manifest, and nobody pushes. */
export interface NamedTag {
  readonly link: StoredObject;
  /** It was there when the push of the manifest was answered with 201. */
  readonly relied: Cell;
  /** Asked for by nobody but a mutant: a push of the manifest knows nothing of it. */
  readonly mark: Mark | undefined;
}

export interface ManifestParts {
  readonly repository?: number;
  readonly blobs?: readonly Blob[];
  readonly children?: Manifest[];
  readonly subject?: Manifest;
  /** Its bytes and their mark are part of the scenario. */
  readonly content?: boolean;
  /** There is a tag named after it. */
  readonly named?: boolean;
}

/** What there is of the tag where retention takes tags. What it names is `World.tag`. */
export interface ExpiringTag {
  readonly mark: Mark;
  readonly link: StoredObject;
  readonly history: StoredObject;
  /** Since a push of it was answered with 201. */
  readonly promised: Clock;
  /**
   * Its history was written by somebody who read no mark, or read it too long before. Where the link is gone by then, or
   * just going, it stays behind: the one who was too late does it again, and may die before.
   */
  readonly stray: Cell;
}

/** The link of the tag, which a run deletes. */
class TagLink extends StoredObject {
  readonly #world: World;

  constructor(world: World) {
    super(world.cells, "link of the tag", world.times.HORIZON + 1);
    this.#world = world;
  }

  /** Of a bucket: what was set before the run looked is not deleted young, whoever set it. */
  override delete(s: State): void {
    const { times, backend, tag, untagged, manifests } = this.#world;
    if (this.exists(s)) {
      if (this.age(s) <= times.HORIZON && this.age(s) > times.E && backend === "bucket")
        violate("6: a tag is deleted that was set before the run looked at it");
    }
    super.delete(s);
    // Whether it may go is what invariant 6 says. What it named is nothing to rely on from here on, as after a user's DELETE.
    if (untagged) manifests[tag.get(s) - 1]?.acknowledged.set(s, 0);
    tag.set(s, 0);
  }
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
  /** Where retention takes it. */
  readonly expiring: ExpiringTag | undefined;
  /** Called when a user deletes something: nobody can rely any more on what was there. */
  readonly onDelete: ((s: State) => void)[] = [];

  constructor({
    times: changes = {},
    rules = {},
    backend = "bucket",
    untagged = false,
    tagsExpire = false,
    anyOrder = false,
  }: Settings) {
    this.times = times(changes);
    this.rules = { ...RULES, ...rules };
    this.backend = backend;
    this.untagged = untagged;
    this.anyOrder = anyOrder;
    this.tag = this.cells.cell("tag");
    if (!tagsExpire) return;
    this.expiring = {
      mark: this.#mark("mark of the tag"),
      link: new TagLink(this),
      history: this.#object("history of the tag", false),
      promised: this.cells.clock("tag answered with 201", this.times.GRACE + 1, true),
      stray: this.cells.cell("history is stray"),
    };
  }

  /** PUT of the tag. `inTime`: under its mark. */
  setTag(s: State, manifest: Manifest, inTime = true): void {
    this.tag.set(s, this.manifests.indexOf(manifest) + 1);
    this.expiring?.link.put(s);
    if (inTime) this.expiring?.stray.set(s, 0);
  }

  /** PUT of its history. */
  setHistory(s: State, inTime = true): void {
    this.expiring?.history.put(s);
    if (!inTime) this.expiring?.stray.set(s, 1);
  }

  /** A user deletes the tag. */
  dropTag(s: State): void {
    this.tag.set(s, 0);
    const { link, history, promised, stray } = this.expiring ?? {};
    for (const cell of [promised, stray]) cell?.set(s, 0);
    history?.delete(s);
    link?.forget(s);
  }

  blob(name: string, repositories = 1): Blob {
    const bytes = this.#object(`bytes of ${name}`);
    const links = Array.from({ length: repositories }, (_, r) => this.#object(`link ${r} of ${name}`));
    const blob = { name, mark: this.#mark(`mark of ${name}`), bytes, links };
    this.blobs.push(blob);
    return blob;
  }

  manifest(name: string, parts: ManifestParts = {}): Manifest {
    const { repository = 0, blobs = [], children = [], subject, content = false, named = false } = parts;
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
      named: named ? this.#named(name) : undefined,
    };
    this.manifests.push(manifest);
    return manifest;
  }

  #named(name: string): NamedTag {
    return {
      link: this.#object(`tag named after ${name}`, !this.rules.namedTogether),
      relied: this.cells.cell(`tag named after ${name} relied on`),
      mark: this.rules.namedTogether ? undefined : this.#mark(`mark of the tag named after ${name}`),
    };
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
