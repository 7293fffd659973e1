/** Reference pages, docs/PROGRAM.md: the help of every command, and what NOTES has beside it. */
import { NOTES, type Notes } from './notes.js';
import { type CommandEntry, withAllBelow } from './tree.js';

const table = (head: string, rows: readonly (readonly [string, string])[]): string =>
  [`| ${head} | |`, '|---|---|', ...rows.map(([name, text]) => `| \`${name}\` | ${text} |`)].join('\n');
const code = (text: string): string => `\`\`\`\n${text.trimEnd()}\n\`\`\``;

/** The page of a program. */
export function referencePage(program: CommandEntry): string {
  const { title, summary, exit, environment, files, examples } = NOTES[program.name] as Notes;
  const [, ...commands] = withAllBelow(program);
  const parts = [
    `# ${program.name}: ${title}`,
    '<!-- Written by "npm run reference" from the definitions that make --help; do not edit. -->',
    summary,
    code(examples.join('\n')),
    code(program.help),
    ...commands.map(({ path, help }) => `## ${path}\n\n${code(help)}`),
    '## Exit codes, variables, files',
    table('exit code', exit),
    table('variable', environment),
    table('file', files),
  ];
  return `${parts.join('\n\n')}\n`;
}
