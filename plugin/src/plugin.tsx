// SPDX-License-Identifier: GPL-3.0-or-later
// What the plugin adds to BigBlueButton's client: an entry in two menus, and the window they open.

import {
  AudioSettingsDropdownOption,
  BbbPluginSdk,
  FloatingWindow,
  OptionsDropdownOption,
} from "bigbluebutton-html-plugin-sdk";
import type { PluginApi } from "bigbluebutton-html-plugin-sdk";
import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

import { Card } from "./card";
import { dialInOf } from "./dial-in";
import type { VoiceSettings } from "./dial-in";
import { wordsFor } from "./words";

const WINDOW = { top: 70, left: 70, movable: true, backgroundColor: "#fff", boxShadow: "0 6px 24px rgba(0, 0, 0, 0.3)" };

interface PluginProps {
  uuid: string;
  name: string;
}

export function Plugin({ uuid, name }: PluginProps) {
  BbbPluginSdk.initialize(uuid);
  const api: PluginApi = BbbPluginSdk.getPluginApi(uuid, name);
  const voice = useVoiceSettings(api);
  const words = wordsFor(document.documentElement.lang || navigator.language);
  const dialIn = dialInOf(voice);
  const known = dialIn ? `${dialIn.number}\n${dialIn.pin}` : "";
  const [isOpen, setIsOpen] = useState(false);

  useEffect(() => {
    const open = { label: words.title, icon: "telephone_listen", onClick: () => setIsOpen(true) };
    api.setOptionsDropdownItems(known ? [new OptionsDropdownOption(open)] : []);
    api.setAudioSettingsDropdownItems(known ? [new AudioSettingsDropdownOption(open)] : []);
    // `known` is what the entries depend on; the objects are made anew at every turn.
  }, [known]);

  useEffect(() => {
    api.setFloatingWindows(
      isOpen && dialIn
        ? [
            new FloatingWindow({
              ...WINDOW,
              dataTest: "dialinWindow",
              contentFunction: (element: HTMLElement) => {
                const root = createRoot(element);
                root.render(
                  <Card
                    dialIn={dialIn}
                    words={words}
                    onClose={() => setIsOpen(false)}
                    copy={(text) => navigator.clipboard.writeText(text)}
                  />,
                );
                return root;
              },
            }),
          ]
        : [],
    );
  }, [isOpen, known]);

  return null;
}

/** One and the same function at every turn, or the client would compute all anew each time. */
const voiceOf = (meeting: { voiceSettings: object }) => ({ voiceSettings: meeting.voiceSettings });

/** What the meeting says of its telephone side; undefined until it is known. */
function useVoiceSettings(api: PluginApi): VoiceSettings | undefined {
  // The hooks of a client stay the same while it runs, so their order does.
  const told = api.useMeetingData
    ? api.useMeetingData(voiceOf)
    : api.useMeeting?.();
  const meeting = told?.data as { voiceSettings?: VoiceSettings } | undefined;
  return meeting?.voiceSettings;
}
