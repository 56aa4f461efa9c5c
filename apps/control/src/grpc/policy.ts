import type { DescService } from '@bufbuild/protobuf';
import { Health } from '@gwctl/proto/grpc/health/v1/health_pb';
import { ServerReflection } from '@gwctl/proto/grpc/reflection/v1/reflection_pb';
import { EnrolService, IdentityService, SessionService } from '@gwctl/proto/gwctl/agent/v1/agent_pb';
import { EgressService } from '@gwctl/proto/gwctl/v1/egress_pb';
import { EventService } from '@gwctl/proto/gwctl/v1/event_pb';
import { ForwardService } from '@gwctl/proto/gwctl/v1/forward_pb';
import { GatewayService } from '@gwctl/proto/gwctl/v1/gateway_pb';
import { SystemService } from '@gwctl/proto/gwctl/v1/system_pb';
import { canonicalPath } from '@gwctl/shared/grpc/definition';

/**
 * Who may call a method:
 * - `operator`: a valid operator token;
 * - `agent`: a certificate of ours for a gateway, by which it reaches its own gateway only;
 * - `public`: anybody (enrolment, where the join token inside the request decides, and health).
 */
export type Access = 'operator' | 'agent' | 'public';

/**
 * One line for each method, so that a new one without a line is denied, and a spec that walks every method of every proto fails.
 * Keyed by the canonical name; what does not equal one of these letter for letter is denied.
 */
const METHODS: readonly (readonly [DescService, Readonly<Record<string, Access>>])[] = [
  [
    ForwardService,
    {
      CreateForward: 'operator',
      GetForward: 'operator',
      ListForwards: 'operator',
      UpdateForward: 'operator',
      DeleteForward: 'operator',
      WatchForward: 'operator',
    },
  ],
  [
    EgressService,
    {
      CreateEgress: 'operator',
      GetEgress: 'operator',
      ListEgresses: 'operator',
      UpdateEgress: 'operator',
      DeleteEgress: 'operator',
      WatchEgress: 'operator',
    },
  ],
  [
    GatewayService,
    {
      CreateGateway: 'operator',
      GetGateway: 'operator',
      ListGateways: 'operator',
      UpdateGateway: 'operator',
      DeleteGateway: 'operator',
      CreateJoinToken: 'operator',
      AllowMassRemoval: 'operator',
      WatchGateway: 'operator',
    },
  ],
  [EventService, { ListEvents: 'operator' }],
  [SystemService, { WhoAmI: 'operator', GetStatus: 'operator' }],
  [EnrolService, { Enrol: 'public' }],
  [IdentityService, { Renew: 'agent' }],
  [SessionService, { Session: 'agent' }],
  [Health, { Check: 'public', Watch: 'public', List: 'public' }],
  [ServerReflection, { ServerReflectionInfo: 'operator' }],
];

const POLICY: ReadonlyMap<string, Access> = new Map(
  METHODS.flatMap(([service, methods]) =>
    service.methods.flatMap((method) => {
      const access = methods[method.name];
      return access === undefined ? [] : [[canonicalPath(method), access] as const];
    }),
  ),
);

/** Who may call the method of this path; undefined: nobody. */
export const accessOf = (path: string): Access | undefined => POLICY.get(path);
