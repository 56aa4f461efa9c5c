import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ForwardSchema } from '@gwctl/proto/gwctl/v1/forward_pb';
import { Protocol } from '@gwctl/proto/gwctl/v1/types_pb';

export type ForwardInit = MessageInitShape<typeof ForwardSchema>;
type SpecInit = NonNullable<ForwardInit['spec']>;

/** A forward that is accepted as it stands: a TCP port of every address of the gateway. */
export const forwardOf = (name: string, gateway: string, port: number, spec: Omit<SpecInit, '$typeName'> = {}): ForwardInit => ({
  name,
  spec: {
    on: { case: 'gateway', value: gateway },
    listen: { protocol: Protocol.TCP, ports: { first: port, last: port } },
    targets: [{ host: '192.168.2.122', port: 10022 }],
    enabled: true,
    ...(spec as object),
  },
});
