/** Looks at and damages the rules of a gateway, as somebody else on that host would. */
import type { Host } from '../lab/index.js';

export type Variant = 'iptables-nft' | 'iptables-legacy';

const TABLES = ['mangle', 'filter', 'nat'] as const;
export type Table = (typeof TABLES)[number];

/** What belongs to gwctl: its chains, and the rules that jump to them. */
const OWN = /GWCTL|gwctl/;

export class KernelRules {
  constructor(
    private readonly host: Host,
    readonly variant: Variant,
  ) {}

  /** Every rule of the variant, without counters. */
  async all(table?: Table): Promise<string[]> {
    const { stdout } = await this.host.exec([`${this.variant}-save`, ...(table ? ['-t', table] : [])]);
    return stdout
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => line.replace(/\[\d+:\d+\]/, ''));
  }

  async own(): Promise<string> {
    return (await this.all()).filter((line) => OWN.test(line)).join('\n');
  }

  async foreign(): Promise<string> {
    return (await this.all()).filter((line) => !OWN.test(line)).join('\n');
  }

  async run(args: readonly string[]): Promise<void> {
    await this.host.exec([this.variant, '-w', '5', ...args]);
  }

  async chains(table: Table): Promise<string[]> {
    return (await this.all(table)).flatMap((line) => /^:(GWCTL[^ ]*)/.exec(line)?.[1] ?? []);
  }

  /** Arguments that delete our jump from a built-in chain. */
  async deletionOfHook(table: Table, chain: string): Promise<string[]> {
    const line = (await this.all(table)).find((l) => l.startsWith(`-A ${chain} `) && OWN.test(l));
    if (!line) throw new Error(`no hook of ours in ${table} ${chain}`);
    return ['-t', table, ...words(line.replace('-A', '-D'))];
  }

  /** Arguments that replace the first of our nat rules that holds `text`, in place. */
  async edit(text: string, replacement: string): Promise<string[]> {
    const lines = (await this.all('nat')).filter((l) => l.startsWith('-A GWCTL'));
    const line = lines.find((l) => l.includes(text));
    if (!line) throw new Error(`no rule of ours holds ${text}`);
    const [, chain = '', ...rest] = words(line);
    const number = lines.filter((l) => words(l)[1] === chain).indexOf(line) + 1;
    return ['-t', 'nat', '-R', chain, String(number), ...rest.map((word) => word.replace(text, replacement))];
  }

  /** Rules of ours that stand there more than once. */
  async duplicates(): Promise<string[]> {
    const out: string[] = [];
    for (const table of TABLES) {
      const own = (await this.all(table)).filter((line) => line.startsWith('-A') && OWN.test(line));
      out.push(...own.filter((line, i) => own.indexOf(line) !== i));
    }
    return out;
  }

  /** What a reboot does to the rules. */
  async wipe(): Promise<void> {
    for (const table of TABLES) {
      await this.run(['-t', table, '-F']);
      await this.run(['-t', table, '-X']);
    }
  }
}

/** Splits a line of iptables-save; quoted words keep their spaces. */
function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2] ?? '');
}
