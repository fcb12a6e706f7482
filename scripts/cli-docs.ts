/** Writes docs/cli.md and man/elfnote.1 from the definitions of the command line: `npm run docs`. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Command, Option } from 'commander';
import { createProgram } from '../src/cli/program.ts';

interface Described {
  readonly name: string;
  readonly usage: string;
  readonly description: string;
  readonly arguments: readonly { readonly term: string; readonly description: string }[];
  readonly groups: readonly {
    readonly heading: string;
    readonly options: readonly { readonly flags: string; readonly description: string }[];
  }[];
  /** What stands behind the options: an example, and the exit status. */
  readonly after: string;
}

function describe(command: Command): Described {
  const help = command.createHelp();
  const groups = new Map<string, Option[]>();
  for (const option of help.visibleOptions(command)) {
    const heading = (option.helpGroupHeading ?? 'Options:').replace(/:$/, '');
    groups.set(heading, [...(groups.get(heading) ?? []), option]);
  }
  return {
    name: command.name(),
    usage: help.commandUsage(command),
    description: command.description(),
    arguments: help
      .visibleArguments(command)
      .map(one => ({ term: help.argumentTerm(one), description: help.argumentDescription(one) })),
    groups: [...groups].map(([heading, options]) => ({
      heading,
      options: options.map(option => ({
        flags: help.optionTerm(option),
        description: help.optionDescription(option),
      })),
    })),
    after: textAfterHelp(command),
  };
}

/** Commander gives what addHelpText added only where it prints. */
function textAfterHelp(command: Command): string {
  let all = '';
  command.configureOutput({ writeOut: text => (all += text), getOutHasColors: () => false });
  command.outputHelp();
  return all.slice(command.helpInformation().length).trim();
}

const INTRODUCTION =
  'Made from the definitions of the command line by `npm run docs`; a test keeps them equal.';

export function cliMarkdown(): string {
  const program = createProgram();
  const [own, ...commands] = [program, ...program.commands].map(describe);
  const list = commands.map(({ name, description }) => `- [\`${name}\`](#elfnote-${name}): ${description}`);
  const top = ['# The command line', INTRODUCTION, own?.description ?? '', list.join('\n')];
  return `${[...top, ...commands.map(commandMarkdown)].join('\n\n')}\n`;
}

function commandMarkdown({ name, usage, description, ...rest }: Described): string {
  const rows = (items: readonly (readonly [string, string])[]) =>
    ['| | |', '| --- | --- |', ...items.map(([term, text]) => `| \`${cell(term)}\` | ${cell(text)} |`)].join(
      '\n',
    );
  return [
    `## elfnote ${name}`,
    sentence(description),
    `    ${usage}`,
    ...(rest.arguments.length === 0 ? [] : [rows(rest.arguments.map(one => [one.term, one.description]))]),
    ...rest.groups.flatMap(({ heading, options }) => [
      `**${heading}**`,
      rows(options.map(option => [option.flags, option.description])),
    ]),
    ...rest.after.split(/\n\n/).map(paragraphMarkdown),
  ].join('\n\n');
}

function paragraphMarkdown(text: string): string {
  const [first = '', ...lines] = text.split('\n');
  if (!first.startsWith('Example')) return text.replace(/</g, '\\<');
  return `${first}\n\n\`\`\`console\n${lines.map(line => line.replace(/^ {2}/, '')).join('\n')}\n\`\`\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

/** As man(7) has it, for section 1. */
export function manPage(): string {
  const program = createProgram();
  const [own, ...commands] = [program, ...program.commands].map(describe);
  const version = program.version() ?? '';
  return [
    `.TH ELFNOTE 1 "" "elfnote ${roff(version)}" "User Commands"`,
    '.SH NAME',
    'elfnote \\- notes in ELF files that tell the dynamic loader where each library is',
    '.SH SYNOPSIS',
    ...commands.flatMap(({ usage }, i) => [
      ...(i === 0 ? [] : ['.br']),
      `.B ${roff(usage.split(' ').slice(0, 2).join(' '))}`,
      roff(usage.split(' ').slice(2).join(' ')),
    ]),
    '.SH DESCRIPTION',
    roff(own?.description ?? ''),
    'A loader or the audit module of elfnote reads them and opens the libraries at once.',
    ...commands.flatMap(commandRoff),
    '.SH SEE ALSO',
    '.BR ld.so (8),',
    '.BR rtld\\-audit (7),',
    '.BR patchelf (1)',
    '',
  ].join('\n');
}

function sentence(text: string): string {
  return `${text[0]?.toUpperCase()}${text.slice(1)}${/[.?]$/.test(text) ? '' : '.'}`;
}

function commandRoff({ name, description, ...rest }: Described): string[] {
  const tagged = (term: string, text: string) => ['.TP', `.B ${roff(term)}`, roff(text)];
  return [
    `.SH ELFNOTE ${roff(name.toUpperCase())}`,
    roff(sentence(description)),
    ...rest.arguments.flatMap(one => tagged(one.term, one.description)),
    ...rest.groups.flatMap(({ heading, options }) => [
      `.SS ${roff(heading)}`,
      ...options.flatMap(({ flags, description: text }) => tagged(flags, text)),
    ]),
    ...rest.after.split(/\n\n/).flatMap(text => {
      const [first = '', ...lines] = text.split('\n');
      if (!first.startsWith('Example')) return ['.PP', ...text.split('\n').map(roff)];
      return [
        '.PP',
        roff(first),
        '.PP',
        '.nf',
        '.RS',
        ...lines.map(line => roff(line.replace(/^ {2}/, ''))),
        '.RE',
        '.fi',
      ];
    }),
  ];
}

/** A line of text: a hyphen is one that can be copied, and a dot or quote at its start is no request. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^(?=[.'])/, '\\&');
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const root = fileURLToPath(new URL('..', import.meta.url));
  writeFileSync(join(root, 'docs/cli.md'), cliMarkdown());
  writeFileSync(join(root, 'man/elfnote.1'), manPage());
}
