/** The product's own sources, as the tests that hold them against each other and the docs read them. */

const ROOT = new URL("../", import.meta.url);

/** Text of a file, by its path from the top of the repository. */
export function readSource(path: string): string {
  return Deno.readTextFileSync(new URL(path, ROOT));
}

/** The paths of all files below a folder, from the top of the repository, sorted. */
export function filesIn(folder: string): string[] {
  return [...Deno.readDirSync(new URL(`${folder}/`, ROOT))]
    .flatMap(({ name, isDirectory }) =>
      isDirectory ? filesIn(`${folder}/${name}`) : [`${folder}/${name}`]
    )
    .toSorted();
}

/** Whether there is a file or folder, by its path from the top of the repository. */
export function exists(path: string): boolean {
  try {
    Deno.statSync(new URL(path, ROOT));
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
