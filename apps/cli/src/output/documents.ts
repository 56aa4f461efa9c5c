import { escapeDocument, isUnsafe } from './escape.js';

export const toJson = (value: unknown): string => `${escapeDocument(JSON.stringify(value, null, 2))}\n`;

/** One document, or several with `---` between them. */
export async function toYaml(values: readonly unknown[]): Promise<string> {
  const { Document, visit } = await import('./yaml.js');
  const texts = values.map((value) => {
    const document = new Document(value);
    visit(document, {
      Scalar(_key, node) {
        // Only a double-quoted text can hold escapes; block and plain ones would carry the characters as they are.
        if (typeof node.value === 'string' && isUnsafe(node.value)) node.type = 'QUOTE_DOUBLE';
      },
    });
    return escapeDocument(document.toString({ lineWidth: 0, doubleQuotedMinMultiLineLength: Number.MAX_SAFE_INTEGER }));
  });
  return texts.join('---\n');
}
