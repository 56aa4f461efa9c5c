import { Module } from '@nestjs/common';
import { PlacementStatesRepository } from './placement-states.repository.js';
import { ReportWriter } from './report-writer.js';
import { ReportsRepository } from './reports.repository.js';

@Module({
  providers: [PlacementStatesRepository, ReportsRepository, ReportWriter],
  exports: [PlacementStatesRepository, ReportWriter],
})
export class StatusModule {}
