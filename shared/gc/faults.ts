/** Why a run ends before it has deleted anything: what is stored cannot be understood. A sentence for its operator. */
export class MarkingFault extends Error {
  override readonly name = "MarkingFault";
}
