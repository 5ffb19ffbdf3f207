import t from 'tap'
import { silenceSuite } from '../../../daemon/testing/silence-suite.ts'
import { SilenceState, silenceMachine } from './silence.machine.ts'

silenceSuite(t, { boot: (limitMs) => new SilenceState(limitMs), step: silenceMachine.step })
