/** The licences of what a bundle holds. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * One text with the licence of each package that has a file in the bundle.
 *
 * @param inputs paths from `root` on.
 * @throws Error for a package that says no licence.
 */
export function licencesOf(root: string, inputs: readonly string[]): string {
  const places = inputs.flatMap(input => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0] ?? []);
  const packages = [...new Set(places)].map(place => {
    const parsed: unknown = JSON.parse(readFileSync(join(root, place, 'package.json'), 'utf8'));
    const field = (name: string) =>
      typeof parsed === 'object' && parsed !== null ? String(Reflect.get(parsed, name)) : '';
    const title = `${field('name')} ${field('version')} (${field('license')})`;
    return `${title}\n${'-'.repeat(title.length)}\n\n${licenceText(join(root, place))}\n`;
  });
  return `elfnote's bundles hold parts of these packages.\n\n\n${[...new Set(packages)].sort().join('\n\n')}`;
}

function licenceText(directory: string): string {
  const files = readdirSync(directory);
  const read = (name: RegExp) => {
    const file = files.find(one => name.test(one));
    return file === undefined ? undefined : readFileSync(join(directory, file), 'utf8').trim();
  };
  const text = read(/^licen[cs]e/i) ?? /^#+ *licen[cs]e\b.*/ims.exec(read(/^readme/i) ?? '')?.[0];
  if (text === undefined) throw new Error(`${directory} has no licence text`);
  return text;
}
