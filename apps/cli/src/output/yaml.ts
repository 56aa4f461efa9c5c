/**
 * The YAML library, loaded when YAML is read or written. Its named exports are taken here, statically: of a CommonJS package that
 * was bundled, a dynamic import only gives the default export.
 */
export { Document, parse, stringify, visit } from 'yaml';
