/**
 * `$CONTROL/broker/v1`, where `enable_control_api` says so: which listeners and plugins there are,
 * in the forms of mosquitto 2.1.
 */
import type { AccessSettings, ListenerSettings, Settings } from "../config/settings.ts";
import {
  ControlAnswer,
  type ControlEndpoint,
  type ControlReply,
  type Requester,
  readRequest,
  responseTo,
} from "./control-request.ts";
import type { DynamicSecurities } from "./dynamic-securities.ts";
import type { JsonObject } from "./json-fields.ts";

const TOPIC = "$CONTROL/broker/v1";

function listenerAsJson(listener: ListenerSettings): JsonObject {
  const { address, port, protocol, socketPath, tls } = listener;
  return {
    port: socketPath === null ? port : 0,
    protocol: protocol === "websockets" ? "mqtt+websockets" : "mqtt",
    ...(address === "" ? {} : { "bind-address": address }),
    ...(socketPath === null ? {} : { "socket-path": socketPath }),
    tls: tls !== null,
  };
}

class BrokerControl implements ControlEndpoint {
  readonly topic = TOPIC;
  readonly #settings: Settings;
  readonly #securities: DynamicSecurities;

  constructor(settings: Settings, securities: DynamicSecurities) {
    this.#settings = settings;
    this.#securities = securities;
  }

  ask(request: Uint8Array, _from: Requester, reply: ControlReply): void {
    const answer = new ControlAnswer();
    for (const item of readRequest(request)) {
      if ("response" in item) {
        answer.add(item.response);
        continue;
      }
      const { command } = item;
      const name = NAMES.find((known) => known.toLowerCase() === command.name.toLowerCase());
      if (name === undefined) answer.add(responseTo(command, { error: "Unknown command" }));
      else answer.add(responseTo({ ...command, name }, { data: this.#dataOf(name) }));
    }
    reply(answer.text, false);
  }

  #dataOf(name: (typeof NAMES)[number]): JsonObject {
    if (name === "listListeners") {
      return { listeners: this.#settings.listeners.map(listenerAsJson) };
    }
    const plugins = this.#securities.all.map(({ pluginName, topic }) => ({
      name: pluginName,
      "control-endpoints": [topic],
    }));
    return { plugins };
  }
}

const NAMES = ["listListeners", "listPlugins"] as const;

/**
 * Who answers on control topics.
 *
 * @param settings  as they are when a request comes
 * @returns what gives the endpoints of a listener by its access settings
 */
export function controlEndpoints(
  settings: Settings,
  securities: DynamicSecurities,
): (rules: { readonly access: AccessSettings }) => readonly ControlEndpoint[] {
  const broker = new BrokerControl(settings, securities);
  return ({ access }) => {
    const security = securities.find(access);
    return [...(security === null ? [] : [security]), ...(settings.controlApi ? [broker] : [])];
  };
}
