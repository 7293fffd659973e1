/** Protects the documentation: a link to a page or a section of this repository leads there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert } from 'chai';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

const pages = [
  ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];

const text = (page: string): string =>
  readFileSync(join(ROOT, page), 'utf8').replace(/^```[\s\S]*?^```$/gm, '');

/** A heading's anchor as GitHub makes it. */
const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(/\s/g, '-');

const anchors = (page: string): string[] =>
  [...text(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchor(heading));

/** What is wrong with a link; undefined if it leads somewhere. */
function fault(page: string, link: string): string | undefined {
  const [path = '', section] = link.split('#');
  const target = path === '' ? page : relative(ROOT, join(ROOT, dirname(page), path));
  if (!existsSync(join(ROOT, target))) return `${link}: there is no ${target}`;
  if (section !== undefined && !anchors(target).includes(section)) return `${link}: no section "${section}"`;
  return undefined;
}

describe('documentation: links', () => {
  it('are read', () => {
    assert.isAbove(pages.length, 50);
    assert.isUndefined(fault('README.md', 'docs/decisions/README.md#union'));
    assert.isDefined(fault('README.md', 'docs/nowhere.md'));
    assert.isDefined(fault('README.md', 'docs/decisions/README.md#nowhere'));
  });

  for (const page of pages) {
    it(`of ${page} lead somewhere`, () => {
      const links = [...text(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link);
      const own = links.filter((link) => !/^[a-z]+:/.test(link));
      assert.deepEqual(
        own.map((link) => fault(page, link)).filter((found) => found !== undefined),
        [],
      );
    });
  }
});
