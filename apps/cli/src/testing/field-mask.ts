import { create } from '@bufbuild/protobuf';
import { type Forward, type ForwardSpec, ForwardSpecSchema } from '@gwctl/proto/gwctl/v1/forward_pb';
import { ListenerSchema, RelayOptionsSchema } from '@gwctl/proto/gwctl/v1/types_pb';

/** Copies the fields that the mask names from `from` into `into`, as a control plane does; other fields are left alone. */
export function applyMask(into: Forward, from: Forward, paths: readonly string[]): void {
  for (const path of paths) {
    const [top = '', field, inner] = path.split('.').map(camel);
    if (top === 'labels') into.labels = { ...from.labels };
    else if (top !== 'spec' || field === undefined) throw new Error(`the fake control plane knows no path ${path}`);
    else {
      into.spec ??= create(ForwardSpecSchema);
      copySpec(into.spec, from.spec ?? create(ForwardSpecSchema), field, inner);
    }
  }
}

function copySpec(into: ForwardSpec, from: ForwardSpec, field: string, inner: string | undefined): void {
  if (field === 'gateway' || field === 'gatewaySelector') into.on = from.on;
  else if (field === 'listen' && inner !== undefined) {
    into.listen ??= create(ListenerSchema);
    copy(into.listen, from.listen ?? create(ListenerSchema), inner);
  } else if (field === 'relay' && inner !== undefined) {
    into.relay ??= create(RelayOptionsSchema);
    copy(into.relay, from.relay ?? create(RelayOptionsSchema), inner);
  } else copy(into, from, field);
}

function copy<T extends object>(into: T, from: T, field: string): void {
  Object.assign(into, { [field]: from[field as keyof T] });
}

const camel = (text: string): string => text.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase());
