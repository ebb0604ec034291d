import { RegistryError } from "../../../shared/oci/error.ts";
import { limits } from "../../../shared/oci/limits.ts";
import type { RepositoryName } from "../../../shared/oci/reference.ts";
import type { NamePage } from "../../../shared/registry/page.ts";
import { json, type Answer } from "../answer.ts";
import { pageLimit, urlOf, type ApiRequest } from "../request.ts";

/** GET of a repository's tags in lexical order (end-8a, 8b). */
export async function listTags(request: ApiRequest, { name }: { name: RepositoryName }): Promise<Answer> {
  const repository = request.registry.repository(name);
  const most = request.query.get("n") ? request.settings.tagsMaxEntries : limits.pageEntries;
  const limit = pageLimit(request.query, most);
  const page = await repository.tags.list({ limit, ...lastOf(request) });
  if (page.names.length === 0 && !(await repository.exists())) {
    throw new RegistryError("NAME_UNKNOWN", "no such repository", { name });
  }
  return json({ name, tags: page.names }, nextLink(request, `v2/${name}/tags/list`, limit, page));
}

/** GET of the repositories' names in lexical order. Not in the OCI specification, but in every registry. */
export async function listCatalog(request: ApiRequest): Promise<Answer> {
  const limit = pageLimit(request.query, request.settings.catalogMaxEntries);
  const page =
    limit === 0 ? { names: [], more: false } : await request.registry.repositories({ limit, ...lastOf(request) });
  return json({ repositories: page.names }, nextLink(request, "v2/_catalog", limit, page));
}

function lastOf({ query }: ApiRequest): { last?: string } {
  const last = query.get("last");
  return last === null || last === "" ? {} : { last };
}

/** The Link header of RFC 8288 that leads to the next page. */
function nextLink(request: ApiRequest, path: string, limit: number, { names, more }: NamePage): Record<string, string> {
  const last = names.at(-1);
  if (!more || last === undefined) return {};
  const query = new URLSearchParams({ last, n: String(limit) });
  return { Link: `<${urlOf(request, path)}?${query.toString()}>; rel="next"` };
}
