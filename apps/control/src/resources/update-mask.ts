import { clone, type DescField, type DescMessage, type MessageShape } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { quote, type Violation } from '@gwctl/shared/domain/result';
import { AppError } from '@gwctl/shared/errors/app-error';

/**
 * A copy of `current` with the fields that `paths` name taken from `source`. A field that `source` lacks is cleared, which is how a
 * client empties one. Paths are in lower snake case and may go below messages (`spec.listen.ports`), not into lists or maps.
 * @param writable The paths, and what is below them, that a client may write.
 */
export function applyMask<D extends DescMessage>(
  desc: D,
  current: MessageShape<D>,
  source: MessageShape<D>,
  mask: { readonly paths: readonly string[]; readonly writable: readonly string[] },
): MessageShape<D> {
  if (mask.paths.length === 0) throw invalid('is empty; name the fields that change, for instance labels or spec');
  const result = clone(desc, current);
  for (const path of mask.paths) {
    if (!mask.writable.some((w) => path === w || path.startsWith(`${w}.`)))
      throw invalid(`${quote(path)} cannot be changed; what can is below ${mask.writable.join(', ')}`);
    copy(reflect(desc, result), reflect(desc, source), path.split('.'), path);
  }
  return result;
}

function copy(to: ReflectMessage, from: ReflectMessage | undefined, segments: readonly string[], path: string): void {
  const [name = '', ...rest] = segments;
  const field = to.desc.fields.find((f) => f.name === name);
  if (!field) throw invalid(`${quote(path)} is not a field; ${to.desc.name} has ${to.desc.fields.map((f) => f.name).join(', ')}`);
  if (rest.length === 0) {
    if (from?.isSet(field)) to.set(field, from.get(field));
    else clear(to, field);
    return;
  }
  if (field.fieldKind !== 'message') throw invalid(`${quote(path)} goes below ${field.name}, which is changed as a whole`);
  const below = from?.isSet(field) ? from.get(field) : undefined;
  if (!to.isSet(field)) {
    if (!below) return;
    // Setting through an empty message keeps the siblings that the mask does not name at their defaults.
    to.set(field, reflect(field.message));
  }
  copy(to.get(field), below, rest, path);
}

/** A field of a oneof that is cleared must not take away another member that was just set. */
function clear(message: ReflectMessage, field: DescField): void {
  if (field.oneof && message.oneofCase(field.oneof) !== field) return;
  message.clear(field);
}

function invalid(description: string): AppError {
  const violation: Violation = { field: 'update_mask', description };
  return AppError.invalid([violation]);
}
