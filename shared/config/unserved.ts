import { anything, isEmpty, isMap, noEffect, property, refused, section } from "./values.ts";

/** Whether every entry of every list is switched off. */
function allDisabled(lists: unknown): boolean {
  const each = isMap(lists) ? Object.values(lists) : [lists];
  return each.flat().every((entry) => isEmpty(entry) || property(entry, "disabled") === true);
}

/** Sections of distribution's that nothing here reads: harmless to leave out, or refused. */
export const unserved = {
  middleware: refused(
    "middleware of distribution cannot be loaded here; remove it, and put a CDN or proxy in front of the registry",
    allDisabled,
  ),
  notifications: section({
    events: noEffect(anything(), "no notifications are sent"),
    endpoints: refused(
      "notifications cannot be sent yet; remove the endpoints, or set disabled: true on each",
      allDisabled,
    ),
  }),
  redis: noEffect(anything(), "it would only hold a cache, and nothing is cached"),
  proxy: refused(
    "a cache of another registry cannot be served yet; remove proxy.remoteurl",
    (value) => isMap(value) && isEmpty(value["remoteurl"]),
  ),
  policy: section({
    repository: section({
      classes: refused("classes of repositories are not enforced here; remove them", (value) => isEmpty(value)),
    }),
  }),
  reporting: noEffect(anything(), "nothing is reported to Bugsnag or New Relic, as in distribution 3"),
  compatibility: section({
    schema1: noEffect(anything(), "schema 1 manifests are refused, as in distribution 3"),
  }),
};
