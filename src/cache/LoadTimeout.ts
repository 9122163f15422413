import * as Schema from "effect/Schema"

/**
 * The effect of a `getOrElse` has not ended within `timeout.hard`. It goes on in the background, and its value is stored.
 *
 * @category errors
 * @since 0.1.0
 */
export class LoadTimeout extends Schema.TaggedError<LoadTimeout>("effect-ghostdb/LoadTimeout")("LoadTimeout", {
  /** With the store's prefix. */
  key: Schema.String,
  /** Milliseconds that the caller has waited. */
  waited: Schema.Number
}) {
  override get message(): string {
    return `no value for the key ${JSON.stringify(this.key)} within ${this.waited} ms; the effect goes on in the background`
  }
}
