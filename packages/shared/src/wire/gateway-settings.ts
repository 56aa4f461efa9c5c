import type { GatewaySettings as WireGatewaySettings } from '@gwctl/proto/gwctl/v1/types_pb';
import { type GatewaySettings, type RawGatewaySettings } from '../domain/gateway-settings.js';
import { driftPolicyWords } from './words.js';

export function rawGatewaySettings(wire: WireGatewaySettings | undefined): RawGatewaySettings {
  return {
    driftPolicy: driftPolicyWords.fromWire(wire?.driftPolicy ?? 0),
    resolvers: wire?.resolvers ?? [],
    dnsMinTtl: wire?.dnsMinTtlSeconds ?? 0,
    dnsMaxTtl: wire?.dnsMaxTtlSeconds ?? 0,
  };
}

export function wireGatewaySettings({ driftPolicy, resolvers, dnsMinTtl, dnsMaxTtl }: GatewaySettings) {
  return {
    driftPolicy: driftPolicyWords.toWire(driftPolicy),
    resolvers: [...resolvers],
    dnsMinTtlSeconds: dnsMinTtl,
    dnsMaxTtlSeconds: dnsMaxTtl,
  };
}
