import type { Engine, EngineOptions } from '../engine.js';

export const ENGINE_PREFERENCES = ['auto', 'native', 'portable'] as const;
export type EnginePreference = (typeof ENGINE_PREFERENCES)[number];

export interface OpenedEngine {
  readonly engine: Engine;
  /** Why this one, for people. */
  readonly why: string;
}

export type OpenEngine = (options: EngineOptions) => Promise<Engine>;

/** Each is loaded only when it is asked for: where libc cannot be called, merely loading the native one may fail. */
export interface Engines {
  readonly native: OpenEngine;
  readonly portable: OpenEngine;
}

export const engines: Engines = {
  native: async (options) => (await import('../native/engine.js')).openNativeEngine(options),
  portable: async (options) => (await import('../portable/engine.js')).openPortableEngine(options),
};

/** `auto`: native where it works, which is found out by opening it. Throws what the engine that was named says. */
export async function openEngine(of: Engines, preference: EnginePreference, options: EngineOptions): Promise<OpenedEngine> {
  if (preference === 'portable') return { engine: await of.portable(options), why: 'asked for with --engine' };
  if (preference === 'native') return { engine: await of.native(options), why: 'asked for with --engine' };
  let trouble: unknown;
  try {
    return { engine: await of.native(options), why: 'functions of the C library can be called' };
  } catch (error) {
    trouble = error;
  }
  const said = trouble instanceof Error ? trouble.message : String(trouble);
  return { engine: await of.portable(options), why: `the native engine does not work here: ${said}` };
}
