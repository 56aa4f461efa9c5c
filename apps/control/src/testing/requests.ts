import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ForwardSchema } from '@gwctl/proto/gwctl/v1/forward_pb';
import { Protocol } from '@gwctl/proto/gwctl/v1/types_pb';

export type ForwardInit = MessageInitShape<typeof ForwardSchema>;
export type SpecInit = Omit<NonNullable<ForwardInit['spec']>, '$typeName'>;
export type ListenInit = NonNullable<SpecInit['listen']>;

/** A forward that is accepted as it stands: a TCP port of every address of the gateway. */
export const forwardOf = (name: string, gateway: string, port: number, spec: SpecInit = {}): ForwardInit => ({
  name,
  spec: {
    on: { case: 'gateway', value: gateway },
    listen: { protocol: Protocol.TCP, ports: { first: port, last: port } },
    targets: [{ host: '192.168.2.122', port: 10022 }],
    enabled: true,
    ...(spec as object),
  },
});

/** A listener of TCP. */
export const tcp = (port: number, address = '', last = port): ListenInit => ({
  address,
  protocol: Protocol.TCP,
  ports: { first: port, last },
});

/** A listener of everything that comes to an address. */
export const everything = (address: string): ListenInit => ({ address, protocol: Protocol.ALL });
