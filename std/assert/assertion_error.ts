/** What the assertions throw. */
export class AssertionError extends Error {
  override name = "AssertionError";

  // Error takes both as optional. An assertion that does not say what failed is of no use.
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
  }
}
