import type { Descriptor } from "../../../shared/oci/descriptor.ts";
import type { Digest } from "../../../shared/oci/digest.ts";
import { limits } from "../../../shared/oci/limits.ts";
import { OCI_INDEX } from "../../../shared/oci/media-type.ts";
import type { RepositoryName } from "../../../shared/oci/reference.ts";
import { json, type Answer } from "../answer.ts";
import { pageLimit, urlOf, type ApiRequest } from "../request.ts";

/** GET of what refers to a manifest, as an index; empty where nothing does, or where there is no such manifest (end-12). */
export async function listReferrers(
  request: ApiRequest,
  { name, subject }: { name: RepositoryName; subject: Digest },
): Promise<Answer> {
  const wanted = request.query.get("artifactType");
  const last = request.query.get("last") ?? "";
  const limit = pageLimit(request.query, limits.pageEntries);
  const all = await request.registry.repository(name).manifests.referrersOf(subject);
  const rest = all.filter(({ digest, artifactType }) => digest > last && (!wanted || artifactType === wanted));
  const page = cut(rest, limit);
  return json(
    { schemaVersion: 2, mediaType: OCI_INDEX, manifests: page },
    {
      ...(wanted ? { "OCI-Filters-Applied": "artifactType" } : {}),
      ...nextLink(request, `v2/${name}/referrers/${subject}`, rest.length, page),
    },
    OCI_INDEX,
  );
}

/** As many as wanted, and as fit into an answer that every client reads; one at least, where one is wanted. */
function cut(descriptors: readonly Descriptor[], limit: number): Descriptor[] {
  let bytes = 0;
  return descriptors.slice(0, limit).filter((descriptor, index) => {
    bytes += JSON.stringify(descriptor).length;
    return index === 0 || bytes <= limits.referrersPageBytes;
  });
}

function nextLink(
  request: ApiRequest,
  path: string,
  total: number,
  page: readonly Descriptor[],
): Record<string, string> {
  const last = page.at(-1);
  if (last === undefined || page.length === total) return {};
  const query = new URLSearchParams(request.query);
  query.set("last", last.digest);
  return { Link: `<${urlOf(request, path)}?${query.toString()}>; rel="next"` };
}
