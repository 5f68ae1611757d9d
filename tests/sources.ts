/** The repository's own files, as tests read them. */

const ROOT = new URL("../", import.meta.url);

/** The path of a file, given from the top of the repository; `""` is the top. */
export function inRoot(path: string): string {
  return new URL(path, ROOT).pathname;
}

/** Text of a file, by its path from the top of the repository. */
export function readSource(path: string): string {
  return Deno.readTextFileSync(inRoot(path));
}

/** The paths of all files below a folder, from the top of the repository, sorted. */
export function filesIn(folder: string): string[] {
  return [...Deno.readDirSync(inRoot(folder))]
    .flatMap(({ name, isDirectory }) =>
      isDirectory ? filesIn(`${folder}/${name}`) : [`${folder}/${name}`]
    )
    .toSorted();
}

/** Whether there is a file or folder, by its path from the top of the repository. */
export function exists(path: string): boolean {
  try {
    Deno.statSync(inRoot(path));
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
